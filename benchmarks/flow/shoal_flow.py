"""shoal, through its public API: the whole call is timed, checks and the data set of the result included."""

import numpy as np

import shoal
from benchmarks.flow.cases import FlowCase, dataset, initial_weights
from benchmarks.flow.contenders import ATOL, Solution, Solve, Variants


def variants(case: FlowCase, threads: int) -> Variants:
    """Return the one way shoal solves a case."""

    def make() -> Solve:
        network = shoal.Network((case.inputs, case.hidden, 1), activation=case.activation)
        task, init = shoal.Task(*dataset(case)), shoal.Explicit(initial_weights(case))

        def solve(rtol: float) -> Solution:
            data = shoal.train(
                network,
                task,
                init,
                loss="cross_entropy",
                method=shoal.GradientFlow(t_end=case.until, rtol=rtol, atol=ATOL * rtol),
                record=shoal.Record(times=case.times, measure=("margin",)),
                networks=case.networks,
                threads=threads,
            )
            tried = np.asarray(data["accepted"] + data["rejected"], dtype=np.int64)
            return Solution(np.asarray(data["margin"]), 6 * tried, not np.any(data["status"]))

        return solve

    return {"shoal.train": make}
