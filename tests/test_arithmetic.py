"""Bits do not depend on how the caller's thread rounds or flushes, and it rounds and flushes as before afterwards."""

from __future__ import annotations

import ctypes
import ctypes.util
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import shoal
from shoal import _core
from support import same_bits, train_on

X86 = platform.machine() in ("x86_64", "AMD64")
if not X86 or not platform.system() == "Linux":
    pytest.skip("the layout of fenv_t is known for glibc on x86-64", allow_module_level=True)

LIBM = ctypes.CDLL(ctypes.util.find_library("m"))
# Where glibc's fenv_t has MXCSR, and what of it is set: the rounding, flush-to-zero, denormals-are-zero, all traps.
MXCSR = 28
MODES = {"upward": 0x4000, "downward": 0x2000, "to zero": 0x6000, "flush": 0x8000, "flush all": 0x8040}


def mxcsr() -> int:
    environment = (ctypes.c_ubyte * 32)()
    LIBM.fegetenv(environment)
    return int.from_bytes(environment[MXCSR:], "little")


@contextmanager
def mode(bits: int) -> Iterator[None]:
    """Set bits of the calling thread's MXCSR, and put back what there was."""
    before, changed = (ctypes.c_ubyte * 32)(), (ctypes.c_ubyte * 32)()
    LIBM.fegetenv(before)
    changed[:] = before[:]
    changed[MXCSR:] = (mxcsr() | bits).to_bytes(4, "little")
    LIBM.fesetenv(changed)
    try:
        yield
    finally:
        LIBM.fesetenv(before)


def arguments(**changed: Any) -> dict[str, Any]:
    """Return a training of numbers so small that subnormal ones matter."""
    points = np.array([[1.5, -0.3], [-0.7, 1.1], [0.4, 0.9]]) * np.array([1e-150, 1e-160, 1.0])[:, None]
    return {
        "network": shoal.Network((2, 5, 1)),
        "task": shoal.Task(points, [1, -1, 1]),
        "init": shoal.Explicit([np.full((2, 5, 2), 1e-158), np.full((2, 1, 5), 0.3)]),
        "method": shoal.GradientDescent(0.1, 50),
        "record": shoal.Record(measure=("loss", "margin", "weights")),
        "condense": False,
        **changed,
    }


CASES: dict[str, dict[str, Any]] = {
    "lanes": {},
    "alone": {"engine": "alone"},
    "alone, a team": {"engine": "alone", "threads": 2, "networks": 1, "init": shoal.Gaussian(1e-155)},
    "float32": {"dtype": "float32", "init": shoal.Gaussian(0.37), "task": shoal.tasks.modes((0.7, 0.3))},
    "flow": {"method": shoal.GradientFlow(1.0), "init": shoal.Gaussian(0.37), "task": shoal.tasks.modes((0.7, 0.3))},
    "separated": {"init": shoal.Separated(0.3), "task": shoal.tasks.modes((0.7, 0.3))},
    "balanced": {"init": shoal.Balanced(0.3), "task": shoal.tasks.modes((0.7, 0.3))},
    "statistics": {"init": shoal.Gaussian(0.3), "networks": 40},
}


@pytest.mark.parametrize("name", CASES)
def test_the_callers_arithmetic_changes_no_bit(name: str) -> None:
    given = arguments(**CASES[name])
    engine = given.pop("engine", "lanes")
    if name == "statistics":
        given["record"] = shoal.Record(measure=("loss", "margin"), reduce="moments")
    calls: list[dict[str, Any]] = []
    core = _core.train
    with pytest.MonkeyPatch.context() as patch:  # what Python itself computes is not the core's
        patch.setattr(_core, "train", lambda **asked: calls.append(asked) or core(**asked))
        train_on(engine, **given)
    first = [core(**asked) for asked in calls]
    for bits in MODES.values():
        with mode(bits):
            set_to = mxcsr()
            again = [core(**asked) for asked in calls]
            assert mxcsr() & 0xFFC0 == set_to & 0xFFC0
        for one, other in zip(first, again, strict=True):
            for key in one:
                pairs = (
                    zip(one[key], other[key], strict=True) if isinstance(one[key], list) else [(one[key], other[key])]
                )
                assert all(a.tobytes() == b.tobytes() for a, b in pairs), (key, hex(bits))


def test_a_library_that_rounds_upward_changes_no_bit() -> None:
    given = arguments(init=shoal.Gaussian(0.3))
    first = shoal.train(**given)
    assert LIBM.fesetround(0x800) == 0
    try:
        again = shoal.train(**given)
        assert LIBM.fegetround() == 0x800
    finally:
        LIBM.fesetround(0)
    same_bits(again, first)


def test_progress_is_told_in_the_callers_arithmetic() -> None:
    seen: list[int] = []
    with mode(MODES["flush"]):
        shoal.train(**arguments(), progress=lambda done, total: seen.append(mxcsr() & 0x8000))
    assert seen
    assert set(seen) == {0x8000}


def test_the_span_of_inputs_does_not_depend_on_the_rounding(generator: np.random.Generator) -> None:
    points = generator.standard_normal((4, 30))
    first = _core.span(points, 10)
    with mode(MODES["downward"]):
        again = _core.span(points, 10)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))
