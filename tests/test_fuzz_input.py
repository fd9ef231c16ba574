"""Whatever public names are called with, they take it or refuse it by name: a TypeError or a ValueError, no other.

``fuzz_inputs.call(seed, EVERY)`` is one call; ``fuzz_inputs.every_call(target)`` are all with one argument replaced.
A call of theory that is taken returns no NaN, and none takes seconds.
"""

from __future__ import annotations

import pytest

import fuzz_inputs
import fuzz_theory
from fuzz_inputs import Target, call, every_call
from shoal import dynamics, tasks, theory

EVERY = (*fuzz_inputs.TARGETS, *fuzz_theory.TARGETS)


def test_every_public_name_of_theory_dynamics_and_tasks_is_among_them() -> None:
    known = {target.name.rpartition(".")[2] for target in EVERY}
    results = {  # what functions return
        *("ClassFlow", "EarlyAlignment", "FiniteWidth", "Growth", "LinearMeanField", "NeuronDeaths", "PenalisedLinear"),
    }
    public = {*theory.__all__, *dynamics.__all__, *tasks.__all__} - results
    assert public <= known


@pytest.mark.parametrize("target", [target for target in EVERY if target.name != "open"], ids=lambda of: of.name)
def test_the_arguments_that_are_replaced_are_taken_as_they_are(target: Target) -> None:
    target.function(**target.valid())


@pytest.mark.parametrize("turn", range(8))
def test_a_random_call_is_taken_or_refused_by_name(turn: int) -> None:
    most = 4 * len(EVERY)
    troubles = [
        f"{seed}: {trouble}"
        for seed in range(turn * most, (turn + 1) * most)
        if (trouble := call(seed, EVERY).trouble())
    ]
    assert not troubles


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", EVERY, ids=lambda of: of.name)
def test_every_argument_may_be_anything(target: Target) -> None:
    troubles = [trouble for one in every_call(target) if (trouble := one.trouble())]
    assert not troubles
