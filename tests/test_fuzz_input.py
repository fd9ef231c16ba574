"""Whatever public names are called with, they take it or refuse it by name: a TypeError or a ValueError, no other.

``fuzz_inputs.call(seed)`` is one call; ``fuzz_inputs.every_call()`` are all with one argument replaced.
"""

from __future__ import annotations

import pytest

from fuzz_inputs import TARGETS, Target, call, every_call


@pytest.mark.parametrize("target", [target for target in TARGETS if target.name != "open"], ids=lambda of: of.name)
def test_the_arguments_that_are_replaced_are_taken_as_they_are(target: Target) -> None:
    target.function(**target.valid())


@pytest.mark.parametrize("turn", range(8))
def test_a_random_call_is_taken_or_refused_by_name(turn: int) -> None:
    most = 4 * len(TARGETS)
    troubles = [
        f"{seed}: {trouble}" for seed in range(turn * most, (turn + 1) * most) if (trouble := call(seed).trouble())
    ]
    assert not troubles


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", TARGETS, ids=lambda of: of.name)
def test_every_argument_may_be_anything(target: Target) -> None:
    troubles = [trouble for one in every_call() if one.target is target and (trouble := one.trouble())]
    assert not troubles
