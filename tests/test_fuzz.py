"""Random trainings of all kinds are those of the oracle, and what must not change them does not.

A case is a function of its seed. To see one again: ``SHOAL_FUZZ_SEEDS=17 pytest -n 0 tests/test_fuzz.py``, of which a
range is ``SHOAL_FUZZ_SEEDS=1000-2000``.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

import fuzz_checks
from fuzz_cases import Case, case
from fuzz_checks import Seen, check
from fuzz_flows import flow, is_smooth
from fuzz_relations import RELATIONS as OF_TRAININGS
from fuzz_statistics import RELATIONS as OF_STATISTICS
from reference import Problem

RELATIONS = (*OF_TRAININGS, *OF_STATISTICS)
CHUNKS, CASES, NETWORKS = 50, 48, 2000


def seeds() -> Iterable[int]:
    """Return the seeds asked for, else the usual ones."""
    asked = os.environ.get("SHOAL_FUZZ_SEEDS")
    if not asked:
        return range(45)
    first, _, last = asked.partition("-")
    return range(int(first), int(last or first) + 1)


def compare(seed: int, most: int) -> Seen:
    """Compare one case with the oracle, and with itself in two ways."""
    try:
        seen = check(case(seed, most))
        for relation in (RELATIONS[seed % len(RELATIONS)], RELATIONS[seed // len(RELATIONS) % len(RELATIONS)]):
            relation(case(seed, most))
    except BaseException as error:
        error.add_note(f"SHOAL_FUZZ_SEEDS={seed}, at most {most} networks")
        raise
    return seen


@pytest.mark.parametrize("seed", seeds())
def test_a_random_training_is_the_oracles(seed: int) -> None:
    assert compare(seed, most=12).networks >= 1


SLIGHTLY = 1 + 1e-9
WRONG = (
    "rate",
    "inputs",
    "targets",
    "weights",
    "slope",
    "threshold",
    "weight_decay",
    "spectral_decoupling",
    "scales",
    "rates",
)


@pytest.mark.parametrize("field", WRONG)
def test_what_is_trained_slightly_wrong_is_noticed(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One number wrong by 1e-9, in float64, in the first ten cases that have it."""
    right = fuzz_checks.problem

    def wrong(of: Case) -> Problem:
        setup = right(of)
        value: Any = of.method.learning_rate if field == "rate" else getattr(setup, field)
        if value is None:
            return setup
        changed = tuple(SLIGHTLY * number for number in value) if isinstance(value, tuple) else SLIGHTLY * value
        return setup if field == "rate" else replace(setup, **{field: changed})

    def matters(of: Case) -> bool:
        given = {"slope": of.network.activation == "leaky_relu" and of.network.slope > 0.1}
        given["targets"] = right(of).targets is not None
        given["threshold"] = "Hinge" in repr(of.arguments["loss"])
        given |= {name: bool(of.arguments.get(name)) for name in ("weight_decay", "spectral_decoupling")}
        return of.arguments["dtype"] == "float64" and of.method.steps > 1 and given.get(field, True)

    monkeypatch.setattr(fuzz_checks, "problem", wrong)
    if field == "rate":
        descend = fuzz_checks.batched.descend
        monkeypatch.setattr(
            fuzz_checks.batched,
            "descend",
            lambda setup, state, slope, rate, form: descend(setup, state, slope, SLIGHTLY * rate, form),
        )
    noticed = 0
    cases = [of for of in (case(seed, most=4) for seed in range(200)) if matters(of)][:10]
    for of in cases:
        try:
            check(of)
        except AssertionError:
            noticed += 1
    assert noticed >= 0.5 * len(cases), f"{noticed} of {len(cases)}"


@pytest.mark.parametrize("name", ["gradient_norm", "distance"])
def test_a_norm_that_is_slightly_wrong_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of_norms = fuzz_checks.batched_measures.of_norms

    def wrong(*given: Any) -> dict[str, Any]:
        found = of_norms(*given)
        return {**found, name: found[name].times(SLIGHTLY)}

    monkeypatch.setattr(fuzz_checks.batched_measures, "of_norms", wrong)
    cases = [of for of in (case(seed, most=4) for seed in range(40)) if of.arguments["dtype"] == "float64"][:10]
    noticed = 0
    for of in cases:
        try:
            check(of)
        except AssertionError:
            noticed += 1
    assert noticed >= 0.5 * len(cases), f"{noticed} of {len(cases)}"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_many_random_trainings_are_the_oracles(chunk: int) -> None:
    """More than 10^5 networks in all; of few states is a bound so wide that it says nothing."""
    seen = Seen()
    for seed in range(1000 + chunk * CASES, 1000 + (chunk + 1) * CASES):
        seen += compare(seed, most=60)
    assert seen.networks >= NETWORKS
    assert seen.near_kinks <= 0.05 * seen.states, "kinks within rounding"
    assert seen.unbounded <= 0.05 * seen.states, "numbers that may overflow"


def flows(first: int, count: int) -> int:
    """Compare so many flows, and return how many arrived."""
    smooth = (of for of in (case(seed, most=2) for seed in itertools.count(first)) if is_smooth(of))
    return sum(flow(of) for of in itertools.islice(smooth, count))


def test_smooth_random_flows_are_the_oracles() -> None:
    assert flows(0, 6) >= 6


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_smooth_random_flows_are_the_oracles() -> None:
    assert flows(1000, 60) >= 54
