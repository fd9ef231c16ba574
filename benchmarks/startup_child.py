"""A fresh process that makes a contender's first call: ``python -m benchmarks.startup_child CONTENDER``."""

import json
import os
import sys

from benchmarks.startup import first_calls

if __name__ == "__main__":
    # Libraries that print must not garble the answer: they get the error stream.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answer.write(json.dumps(first_calls(sys.argv[1])) + "\n")
    answer.flush()
