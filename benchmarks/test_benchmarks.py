"""shoal's cases under pytest-benchmark: ``pytest benchmarks --benchmark-only``. Small, and never a limit on time."""

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.cases import CASES, check_weights
from benchmarks.check import compare, reference
from benchmarks.peers.shoal_peer import Shoal
from benchmarks.worker import CHECK_STEPS

STEPS = 20


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", list(CASES))
def test_train(benchmark: Any, name: str, dtype: str, threads: int) -> None:
    """Time a call of `shoal.train` whose answer is right."""
    case = replace(CASES[name], networks=CASES[name].networks // 8)
    trainer = Shoal(case, dtype, threads)
    trainer.reset(check_weights(case))
    trainer.steps = CHECK_STEPS
    assert compare(reference(case, dtype, CHECK_STEPS), trainer.weights()).passed
    benchmark.extra_info.update(flops=case.flops * STEPS, networks=case.networks, steps=STEPS)
    benchmark(trainer.advance, STEPS)
