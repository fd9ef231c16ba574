"""What must not change a training, whatever it is: threads, neighbours, records, instruction sets, where it was cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import xarray

import batched
import shoal
from batched import State, exactly
from fuzz_cases import Case
from fuzz_checks import DIVERGED, check, problem
from support import ENGINES, FUSED, layers, on

Relation = Callable[[Case], None]


def everything(case: Case) -> shoal.Record:
    return shoal.Record(steps=case.steps, measure=case.measures)


def same_bits(one: xarray.Dataset, other: xarray.Dataset, case: Case) -> None:
    """Assert that all variables have the same bits, but for those of a NaN: an overflow on test samples."""
    assert set(one) == set(other), case
    for name in one:
        a, b = one[name].values, other[name].values
        assert (a.dtype, a.shape) == (b.dtype, b.shape), f"{name}\n{case}"
        if a.dtype.kind == "f":
            a, b = (np.where(np.isnan(array), array.dtype.type(np.nan), array) for array in (a, b))
        differ = a.tobytes() != b.tobytes()
        assert not differ, f"{name} differs at {np.argwhere((a != b) & ~np.isnan(a * 1.0))[:1].tolist()}\n{case}"


def threads(case: Case) -> None:
    """Any number of threads gives the same bits."""
    one = case.train(everything(case), threads=1)
    same_bits(case.train(everything(case), threads=int(case.draw.integers(2, 6))), one, case)


def engines(case: Case) -> None:
    """Networks in the lanes, and the samples of each network alone, give the same bits, on any threads."""
    one = case.train(everything(case))
    for engine in ENGINES:
        other = replace(case, engine=engine).train(everything(case), threads=int(case.draw.integers(1, 4)))
        same_bits(other, one, case)


def parts(case: Case) -> None:
    """Networks trained in parts, each from its own first, have the bits that they have together."""
    whole = case.train(everything(case))
    cuts = sorted({0, case.networks, *case.draw.integers(case.networks, size=2).tolist()})
    init, first = case.arguments["init"], case.arguments["first_network"]
    for begin, end in pairwise(cuts):
        own = {"init": init.block(begin, end), "method": case.method.block(begin, end)}
        part = case.train(everything(case), **own, first_network=first + begin, networks=end - begin)
        same_bits(part, whole.isel(network=slice(begin, end)), case)


def records(case: Case) -> None:
    """What else is recorded, and when, changes no bit of a record; times are steps times the rate."""
    whole = case.train(everything(case))
    chosen = sorted(case.draw.choice(len(case.steps), case.draw.integers(1, len(case.steps) + 1), replace=False))
    names = tuple(case.draw.permutation(case.measures)[: case.draw.integers(1, len(case.measures) + 1)].tolist())
    steps = np.array(case.steps)[chosen]
    at: dict[str, Any] = {"steps": steps}
    if case.draw.uniform() < 0.5 and case.method.rates is None:
        at = {"times": steps * case.method.learning_rate}
    part = case.train(shoal.Record(**at, measure=names))
    expected = whole.isel(time=chosen)
    assert part.step.values.tolist() == steps.tolist()
    same_bits(part, expected[list(part)], case)


def instruction_sets(case: Case) -> None:
    """Every instruction set with fused multiply-add gives the same bits."""
    expected = case.train(everything(case))
    for isa in FUSED:
        with pytest.MonkeyPatch.context() as patch:
            on(isa, patch)
            same_bits(case.train(everything(case)), expected, case)


def again(case: Case) -> None:
    """The specification that a dataset carries repeats it to the bit."""
    data = case.train(everything(case))
    same_bits(shoal.train(shoal.specification(data)), data, case)


def resumed(case: Case) -> None:
    """A training goes on from its final weights as if it had not been cut; a centred one counts from elsewhere."""
    method, first = case.method, case.arguments["first_network"]
    if case.network.centred or method.stop or method.steps == 0:
        return
    cut = int(case.draw.integers(method.steps))
    record = shoal.Record(steps=[method.steps], measure=case.measures)
    whole = case.train(record, condense=False)
    before = case.train(
        shoal.Record(steps=[cut], measure=("weights",)),
        method=shoal.GradientDescent(method.learning_rate, cut),
        condense=False,
    )
    kept = np.flatnonzero((before.status != DIVERGED).values)
    for k in kept if len(kept) < case.networks else [slice(None)]:
        rows = k if isinstance(k, slice) else [k]
        init = shoal.Explicit(
            [w[rows] for w in layers(before, "weights")], [b[rows] for b in layers(before, "biases")] or None
        )
        own = method if isinstance(k, slice) else method.block(int(k), int(k) + 1)
        rest = case.train(
            shoal.Record(steps=[method.steps - cut], measure=case.measures),
            init=init,
            method=shoal.GradientDescent(own.learning_rate, method.steps - cut),
            networks=init.networks,
            first_network=first + (0 if isinstance(k, slice) else int(k)),
            condense=False,
        )
        # The distance is that from where the rest begins.
        names = [name for name in case.measures if name in rest and name not in ("trajectory", "distance")]
        names += [str(name) for name in rest if str(name).startswith(("weights_", "biases_", "trajectory_"))]
        same_bits(rest[names], whole.isel(network=rows)[names], case)


def moving(case: Case) -> None:
    """With momentum and a schedule: the same bits on every engine, and from where training is resumed."""
    method = replace(
        case.method,
        momentum=float(case.draw.uniform(0.1, 0.95)),
        nesterov=bool(case.draw.integers(2)),
        schedule=[None, "inverse_sqrt"][int(case.draw.integers(2))],
    )
    case = replace(case, arguments={**case.arguments, "method": method})
    ends = ("weights", "velocity")
    record = shoal.Record(steps=case.steps, measure=(*case.measures, "velocity"))
    whole = case.train(record)
    for engine in ENGINES:
        other = replace(case, engine=engine).train(record, threads=int(case.draw.integers(1, 4)))
        same_bits(other, whole, case)
    cut = int(case.draw.integers(method.steps + 1))
    last = shoal.Record(steps=[method.steps], measure=ends)
    begun = case.train(shoal.Record(steps=[cut], measure=ends), method=replace(method, steps=cut), condense=False)
    same_bits(shoal.resume(begun, steps=method.steps - cut, record=last), case.train(last, condense=False), case)


def permuted(case: Case) -> None:
    """Samples in another order are trained as the oracle trains them, too, by any engine."""
    task, order = case.task, case.draw.permutation(case.task.samples)
    shuffled = type(task)(task.inputs[order], task.answers[order], task.sample_weight[order], task.test)
    engine = str(case.draw.choice(ENGINES))
    check(replace(case, arguments={**case.arguments, "task": shuffled}, engine=engine))


def from_the_start(case: Case) -> None:
    """Final weights are the oracle's from the start on, as far as the growing bound of rounding tells them."""
    steps = min(case.method.steps, 12)
    given = {"method": replace(case.method, steps=steps, stop=None), "condense": False}
    first = case.train(shoal.Record(steps=[0], measure=("trajectory",)), **given)
    last = case.train(shoal.Record(steps=[steps], measure=("weights",)), **given)
    setup, form = problem(case), batched.Format.of(case.arguments["dtype"])
    begins = [
        [array[:, 0].astype(np.float64) for array in layers(first, name)] for name in ("trajectory", "trajectory_bias")
    ]
    state = State(*(list(map(exactly, arrays)) for arrays in begins))
    inputs, centre = exactly(setup.inputs), None
    with np.errstate(all="ignore"):
        if case.network.centred:
            centre = batched.forward(setup, state, inputs, form).leaving[-1]
        for _ in range(steps):
            run = batched.forward(setup, state, inputs, form, centre)
            state = batched.descend(
                setup, state, batched.gradient(setup, state, run, form), case.method.learning_rate, form
            )
    kept = (last.status == 0).values
    found = [array.astype(np.float64)[kept] for name in ("weights", "biases") for array in layers(last, name)]
    for array, ball in zip(found, state.arrays(), strict=True):
        mid, rad = ball.mid[kept], ball.rad[kept]
        assert ((np.abs(array - mid) <= rad) | ~np.isfinite(rad)).all(), case


def flows(case: Case) -> None:
    """A flow, along kinks too, has the same bits on any threads, with any neighbours and other times recorded."""
    case = replace(case, engine="auto")
    until = 2.0 / max(1.0, *case.network.rates)
    method = shoal.GradientFlow(until, rtol=1e-5, atol=1e-8, max_steps=400)
    times = np.linspace(0, until, 4)
    given = {"method": method, "dtype": "float64"}
    names = tuple(name for name in case.measures if name not in ("trajectory", "weights"))
    whole = case.train(shoal.Record(times=times, measure=names), threads=1, **given)
    same_bits(case.train(shoal.Record(times=times, measure=names), threads=3, **given), whole, case)
    few = case.train(shoal.Record(times=times[[1, 3]], measure=names), **given)
    same_bits(few, whole.isel(time=[1, 3]), case)
    cut, init, first = int(case.draw.integers(case.networks)), case.arguments["init"], case.arguments["first_network"]
    for begin, end in {(0, cut), (cut, case.networks)} - {(0, 0)}:
        part = case.train(
            shoal.Record(times=times, measure=names),
            **{**given, "init": init.block(begin, end), "first_network": first + begin, "networks": end - begin},
        )
        same_bits(part, whole.isel(network=slice(begin, end)), case)


RELATIONS: tuple[Relation, ...] = (
    threads, engines, parts, records, instruction_sets, again, resumed, moving, permuted, from_the_start, flows,
)  # fmt: skip
