"""Peak memory of one run: 100,000 networks of the paper case with scalar records, in a process of its own.

The peak is the process's own (``VmHWM``) where Linux tells it: ``ru_maxrss`` of a child may hold its parent's.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import CASES, dataset


def peak_bytes() -> int:
    """Return the most memory this process has had resident, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def run(networks: int, steps: int, threads: int) -> dict[str, Any]:
    """Train the paper case here with loss and error at 101 times and return the peaks before and after."""
    import shoal

    case = CASES["paper"]
    inputs, labels = dataset(case)
    # Everything that a run imports counts as "before": a first, small run brings it in.
    before = 0
    for count in (1, networks):
        before = peak_bytes()
        data = shoal.train(
            shoal.Network(widths=case.widths, activation="relu"),
            shoal.Task(inputs, labels),
            shoal.Gaussian(gain=np.sqrt(2.0)),
            method=shoal.GradientDescent(learning_rate=case.rate, steps=steps),
            record=shoal.Record(measure=("loss", "error")),
            networks=count,
            threads=threads,
        )
    return {
        "networks": networks,
        "steps": steps,
        "records": int(data.sizes["time"]),
        "result_bytes": int(data.nbytes),
        "peak_bytes": peak_bytes(),
        "before_bytes": before,
    }


def measure(networks: int, steps: int, threads: int) -> dict[str, Any]:
    """Do `run` in a new process and return what it found."""
    command = [sys.executable, "-m", "benchmarks.memory", str(networks), str(steps), str(threads)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    print(json.dumps(run(*(int(word) for word in sys.argv[1:4]))))
