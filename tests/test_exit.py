"""A process ends with its own exit status while threads train; a subinterpreter is refused the core."""

from __future__ import annotations

import pytest

from support import python

# Forks, so that many processes end without the time that imports take; each ends as Python does after its last line.
ENDS = """
import os, signal, sys, threading, time
import shoal
from shoal import _core

case, threads, told, times = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "told", int(sys.argv[4])
small = dict(network=shoal.Network((2, 8, 1)), task=shoal.tasks.modes((1.7, 0.9)), init=shoal.Gaussian(0.1))
alone = {**small, "network": shoal.Network((20, 1000, 1)), "task": shoal.tasks.gaussian(1000, 20, separation=1.0)}
TRAININGS = {
    "descent": lambda: shoal.train(**small, method=shoal.GradientDescent(1e-9, 10**12), networks=200, **given),
    "moments": lambda: shoal.train(**small, method=shoal.GradientDescent(1e-9, 10**12), networks=200,
                                   record=shoal.Record(reduce="moments"), **given),
    "flow": lambda: shoal.train(**small, method=shoal.GradientFlow(1e6, rtol=1e-12), networks=10**4, **given),
    "alone": lambda: shoal.train(**alone, method=shoal.GradientDescent(1e-9, 10**12), **given),
    "short ones": lambda: shoal.train(**small, method=shoal.GradientDescent(0.1, 20), networks=20, **given),
}
given = {"threads": threads}
shoal.train(**small, method=shoal.GradientDescent(0.1, 10), networks=20, **given)  # imports all
if told:
    given["progress"] = lambda done, total: sum(range(10_000))

begun, train = threading.Event(), _core.train
def watched(**arguments):
    begun.set()
    while case == "short ones":  # of the core alone, for NumPy itself aborts where a thread of its own is ended
        train(**arguments)
    return train(**arguments)
_core.train = watched

for k in range(times):
    child = os.fork()
    if not child:
        signal.alarm(60)
        threading.Thread(target=TRAININGS[case], daemon=True).start()
        begun.wait()
        end = time.monotonic() + 0.013 * k
        while time.monotonic() < end:
            if k % 2:
                time.sleep(0.001)  # else the training waits for its turns
        sys.exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
CASES = ("descent", "moments", "flow", "alone", "short ones")


def ends_well(case: str, threads: int, told: str, times: int) -> None:
    done = python(["-c", ENDS, case, str(threads), told, str(times)], timeout=600)
    assert done.stdout.split() == ["7"] * times, done.stderr
    assert not done.stderr


@pytest.mark.parametrize(
    ("case", "threads", "told"),
    [("descent", 1, "untold"), *((case, 2, "told") for case in ("descent", "flow", "alone"))],
)
def test_a_process_ends_while_a_daemon_thread_trains(case: str, threads: int, told: str) -> None:
    """In half of them, Python works until it ends, so that the training waits for its turns."""
    ends_well(case, threads, told, 6)


@pytest.mark.slow
@pytest.mark.parametrize("told", ["told", "untold"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_a_process_ends_at_any_moment_of_a_training(case: str, threads: int, told: str) -> None:
    ends_well(case, threads, told, 40)


WORKER = """
import sys, threading
import shoal

def work(steps):
    small = dict(network=shoal.Network((2, 8, 1)), task=shoal.tasks.modes((1.7, 0.9)), init=shoal.Gaussian(0.1))
    return shoal.train(**small, method=shoal.GradientDescent(0.1, steps), networks=200).sizes["network"]

work(10)  # what is imported while Python ends may fail
threading.Thread(target=lambda: print(work(20_000), flush=True)).start()
sys.exit(7)
"""


def test_a_process_waits_for_a_thread_that_is_no_daemon() -> None:
    done = python(["-c", WORKER])
    assert (done.returncode, done.stdout, done.stderr) == (7, "200\n", "")


SUBINTERPRETER = """
import sys

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
CODE = f"import sys; sys.path[:] = {sys.path!r}" + '''
try:
    import shoal._core
except ImportError as error:
    print(error, flush=True)
'''
run = interpreters.exec if hasattr(interpreters, "exec") else interpreters.run_string
run(interpreters.create(), CODE)
"""


def test_in_a_subinterpreter_importing_the_core_is_an_import_error() -> None:
    """It says so (from Python 3.12 on NumPy may say it first), and does not wait for ever."""
    done = python(["-W", "ignore", "-c", SUBINTERPRETER], timeout=120)
    assert "subinterpreter" in done.stdout, done.stderr
    assert done.returncode == 0
