"""Calls of the core for the fuzz: a good one of random sizes, some of its arguments spoilt.

    python tests/core_calls.py SEED CALLS

A program of its own, so that a crash is seen from outside. Each call either ends or raises a ValueError, TypeError or
MemoryError; what takes long is ended by its progress. Before each call its number and what is spoilt are printed: the
same seed and number give the same call.
"""

from __future__ import annotations

import faulthandler
import math
import random
import resource
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from shoal import _core

HUGE = (-(2**63), -1, 0, 1, 2, 7, 2**20, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, 2**63, 2**70)
ODD = (math.nan, math.inf, -math.inf, -1.0, 0.0, 1e-320, 5e-324, 1e-150, 0.5, 1.0, 1e30, 1e39, 1e200, 1.7e308)
OTHER = (None, True, "", b"x", (), [], {}, [1, 2], (1, "a"), {"kind": "flow"}, np.zeros(3), np.zeros((2, 2)), 1j)
ACTIVATIONS = ("relu", "leaky_relu", "linear", "tanh", "softplus", "erf", "quadratic")
LOSSES = ("cross_entropy", "hinge", "squared_hinge", "exponential", "squared")
REDUCIBLE = (
    "loss",
    "error",
    "soft_error",
    "margin",
    "output",
    "residual",
    "layer_norm",
    "balance",
    "active",
    "unit_active",
    "gradient_norm",
    "distance",
    "sharpness",
)
MEASURES = (*REDUCIBLE, "pattern", "trajectory", "weights")
OF_TEST = ("test_loss", "test_error", "test_margin", "test_output", "test_residual")
OF_LABELS = ("error", "soft_error", "margin", "test_error", "test_margin")
WORDS = (
    *ACTIVATIONS,
    *LOSSES,
    *MEASURES,
    *OF_TEST,
    "flow",
    "descent",
    "explicit",
    "separated",
    "unit",
    "alone",
    "float32",
)
DTYPES = ("f2", "f4", "i1", "u8", "c16", "U8", "O", "?")
LIMIT = 6 * 2**30
SECONDS = 0.3


class EnoughError(Exception):
    """A call takes long."""


def some(r: random.Random, of: Sequence[str]) -> list[str]:
    return r.sample(of, r.randrange(len(of)))


def good_start(r: random.Random, widths: list[int], bias: bool, networks: int) -> dict[str, Any]:
    kinds = ["gaussian", "balanced", "explicit", "separated" if len(widths) == 3 else "gaussian"]
    kind = r.choice([*kinds, "unit"] if len(widths) == 3 and widths[2] == 1 else kinds)
    layers = list(pairwise(widths))
    paired = {"paired": r.random() < 0.5} if len(widths) > 2 and widths[-2] % 2 == 0 else {}
    if kind == "gaussian":
        return {"kind": kind, "scales": [r.choice((0.0, 0.5, 1e150)) for _ in layers], **paired}
    if kind == "balanced":
        return {"kind": kind, "scale": r.choice((0.0, 0.5, 1e200)), **paired}
    if kind == "unit":
        outputs = [r.choice((-1.0, 0.0, 1e200)) for _ in range(widths[1])] if r.random() < 0.5 else []
        return {"kind": kind, "norms": [r.choice((0.0, 0.5, 1e30))] * widths[1], "outputs": outputs, **paired}
    if kind == "separated":
        rows = r.randint(1, widths[0])
        modes = [r.randrange(rows) for _ in range(r.randint(1, 4))]
        return {
            "kind": kind,
            "scale": 0.5,
            "output_scale": 0.5,
            "directions": np.eye(widths[0])[:rows],
            "mode_direction": np.array(modes),
            "mode_sign": np.array([r.choice((-1.0, 1.0)) for _ in modes]),
        }
    drawn, size = np.random.default_rng(r.getrandbits(32)), r.choice((1.0, 1e120))
    return {
        "kind": kind,
        "weights": [size * drawn.standard_normal((networks, after, before)) for before, after in layers],
        "biases": [drawn.standard_normal((networks, after)) for _, after in layers] if bias else [],
    }


def good_samples(r: random.Random, count: int, widths: list[int], kind: str) -> dict[str, Any]:
    """Return samples with labels, with targets, or with labels and their unit vectors."""
    drawn, outputs = np.random.default_rng(r.getrandbits(32)), widths[-1]
    labels = drawn.choice([-1, 1], count) if outputs == 1 else drawn.integers(outputs, size=count)
    targets = {"regression": drawn.standard_normal((count, outputs)), "vectors": np.eye(max(2, outputs))[labels]}
    weights = drawn.integers(0, 3, count) + 0.0
    weights[0] += 1
    inputs = r.choice((1.0, 1.0, 1e18)) * drawn.standard_normal((count, widths[0]))
    return {
        "inputs": inputs,
        "labels": None if kind == "regression" else labels,
        "targets": targets.get(kind),
        "weights": weights / weights.sum(),
    }


def good_method(r: random.Random, flows: bool, networks: int, kind: str) -> dict[str, Any]:
    steps = r.randint(0, 40)
    record = np.array(sorted(r.sample(range(steps + 1), min(steps, r.randint(0, 4)))), dtype=np.int64)
    if flows:
        given = {"kind": "flow", "until": 1.0, "rtol": 1e-6, "atol": r.choice((0.0, 1e-9)), "max_steps": 300}
        return {**given, "record_times": record / max(steps, 1)}
    rules = {name: r.random() < 0.3 for name in ("fitted", "satisfied", "dead", "retire")}
    if kind == "regression":
        rules |= {"fitted": False, "satisfied": False}
    rates = np.array([r.choice((0.1, 3.0, 1e30)) for _ in range(r.choice((1, networks)))])
    moving = {"momentum": r.choice((0.0, 0.5, 0.9)), "nesterov": r.random() < 0.5}
    schedule = np.array([r.uniform(0.1, 2) for _ in range(steps if r.random() < 0.3 else 0)])
    return {
        "kind": "descent",
        "rates": rates,
        "schedule": schedule,
        "steps": steps,
        "record_steps": record,
        **moving,
        **rules,
    }


def good_call(r: random.Random) -> dict[str, Any]:
    """Return the arguments of a call that trains."""
    widths = [*(r.randint(1, 6) for _ in range(r.randint(1, 3))), r.choice((1, 1, 1, 2, 5))]
    networks, samples, dtype, bias = (
        r.randint(1, 40),
        r.randint(1, 12),
        r.choice(("float64", "float32")),
        r.random() < 0.5,
    )
    flows = dtype == "float64" and r.random() < 0.25
    loss = r.choice(LOSSES if widths[-1] == 1 else ("cross_entropy", "squared"))
    kind = "regression" if loss == "squared" and r.random() < 0.5 else "labels"
    if widths[-1] > 1 and loss == "squared" and kind == "labels":
        kind = "vectors"
    test = good_samples(r, r.randint(1, 5), widths, kind) if r.random() < 0.5 else {}
    reduction: dict[str, Any] = {}
    refused = OF_LABELS if kind == "regression" else () if loss == "squared" else ("residual", "test_residual")
    known = [name for name in (*MEASURES, *(OF_TEST if test else ())) if name not in refused]
    measures = some(r, known)
    if r.random() < 0.5:
        measures = some(r, [name for name in known if name in REDUCIBLE])
        reduction = {
            "cell": r.randint(1, 20),
            "stretch": r.randint(1, 4),
            "bits": r.randint(0, 5),
            "stops": r.random() < 0.5,
        }
        pairs, events = [(name, name) for name in measures], [(name, ">=", 0.5) for name in measures]
        reduction |= {"pairs": pairs, "events": events, "distributed": measures}
    factors = [[r.choice((0.5, 1.0, 1e3)) for _ in widths[1:]] for _ in range(2)]
    return {
        "widths": widths,
        "activation": r.choice(ACTIVATIONS),
        "slope": 0.01,
        "bias": bias,
        "scales": r.choice(([], factors[0])),
        "rates": r.choice(([], factors[1])),
        "centred": r.random() < 0.3,
        **good_samples(r, samples, widths, kind),
        "repeats": np.array([r.randint(1, 4) + 0.0 for _ in range(samples)]),
        "span": np.zeros((0, widths[0])),
        "test": test,
        "loss": loss,
        "threshold": 1.0,
        "weight_decay": r.choice((0.0, 0.1)),
        "spectral_decoupling": r.choice((0.0, 0.1)),
        "start": good_start(r, widths, bias, networks),
        "method": good_method(r, flows, networks, kind),
        "measures": measures,
        "reduction": reduction,
        "networks": networks,
        "first": r.choice((0, 5, 2**40)),
        "seed": r.getrandbits(64),
        "threads": r.randint(1, 4),
        "engine": r.choice(("auto", "lanes")) if flows else r.choice(("auto", "lanes", "alone")),
        "dtype": dtype,
    }


def spoilt(r: random.Random, value: Any) -> Any:
    """Return something in place of a value: mostly of its kind, and a little wrong."""
    if r.random() < 0.1:
        return r.choice((*HUGE, *ODD, *OTHER))
    if isinstance(value, np.ndarray):
        return spoilt_array(r, value)
    if isinstance(value, dict) and value:
        name = r.choice(sorted(value))
        rest = {key: kept for key, kept in value.items() if key != name}
        return rest if r.random() < 0.2 else {**value, name: spoilt(r, value[name])}
    if isinstance(value, (list, tuple)) and value:
        at = r.randrange(len(value))
        instead = r.choice(([spoilt(r, value[at])], [], [value[at]] * 2))
        return [*value[:at], *instead, *value[at + 1 :]]
    if isinstance(value, bool):
        return r.choice((not value, *OTHER))
    pools = {str: WORDS, float: ODD, int: HUGE}
    return r.choice(pools.get(type(value), OTHER))


def spoilt_array(r: random.Random, value: np.ndarray) -> Any:
    if r.random() < 0.5 and value.size:
        changed = value.astype(value.dtype if r.random() < 0.8 else float)
        entries = [number for number in HUGE if -(2**63) <= number < 2**63]
        changed.flat[r.randrange(value.size)] = r.choice(ODD if changed.dtype.kind == "f" else entries)
        return changed
    others = (
        np.concatenate([value, value[:1]], axis=0),
        value[:-1],
        value[:0],
        value[None],
        value.ravel(),
        value.T,
        np.repeat(value, 2, axis=-1)[..., ::2],
        value.tolist(),
        value.astype(r.choice(DTYPES)),
    )
    return r.choice(others)


def try_call(call: dict[str, Any]) -> str:
    """Call the core, and return how it ended."""
    begun = time.monotonic()

    def progress(done: int, total: int) -> None:
        if time.monotonic() - begun > SECONDS:
            raise EnoughError

    try:
        found = _core.train(**call, progress=progress)
    except (ValueError, TypeError, MemoryError, EnoughError) as error:
        return type(error).__name__
    if not call["reduction"]:
        assert ((found["status"] >= 0) & (found["status"] <= 5)).all(), found["status"]
    return "ended"


def main(seed: int, count: int) -> None:
    faulthandler.enable()
    np.seterr(all="ignore")
    if "libasan" not in Path("/proc/self/maps").read_text():
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    endings: dict[str, int] = {}
    for number in range(count):
        r = random.Random(seed * 2**32 + number)
        call = good_call(r)
        names = r.sample(sorted(call), r.choice((0, 1, 1, 1, 2)))
        call |= {name: spoilt(r, call[name]) for name in names}
        print(f"seed {seed} call {number}", {name: call[name] for name in names}, flush=True)
        ending = try_call(call)
        assert names or ending in ("ended", "EnoughError"), (ending, call)
        endings[ending] = endings.get(ending, 0) + 1
    print("endings", endings)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
