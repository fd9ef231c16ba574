"""The core trusts nobody: what does not fit together is refused before any work, by a message that names it."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from shoal import _core


def call(**changed: Any) -> Any:
    """Train six networks 2-3-1, with these arguments in place of the good ones."""
    good: dict[str, Any] = {
        "widths": [2, 3, 1],
        "activation": "relu",
        "slope": 0.01,
        "bias": True,
        "scales": (),
        "rates": (),
        "centred": False,
        "inputs": np.array([[1.0, 2.0], [-1.0, 0.5], [0.3, 0.1]]),
        "labels": np.array([1, -1, 1]),
        "targets": None,
        "weights": np.array([0.5, 0.25, 0.25]),
        "repeats": np.ones(3),
        "span": np.zeros((0, 2)),
        "test": {},
        "loss": "hinge",
        "threshold": 1.0,
        "weight_decay": 0.0,
        "spectral_decoupling": 0.0,
        "start": {"kind": "gaussian", "scales": [0.5, 0.5]},
        "method": descent(),
        "measures": ["loss"],
        "reduction": {},
        "networks": 6,
        "first": 0,
        "seed": 1,
        "threads": 1,
        "engine": "lanes",
        "dtype": "float64",
        "progress": None,
    }
    return _core.train(**{**good, **changed})


def descent(**changed: Any) -> dict[str, Any]:
    rules = dict.fromkeys(("fitted", "satisfied", "dead"), False)
    return {
        "kind": "descent",
        "rates": np.array([0.1]),
        "schedule": np.array([]),
        "momentum": 0.0,
        "nesterov": False,
        "steps": 4,
        "record_steps": np.array([0, 4]),
        "retire": True,
        **rules,
        **changed,
    }


def flow(**changed: Any) -> dict[str, Any]:
    given = {
        "kind": "flow",
        "until": 1.0,
        "rtol": 1e-6,
        "atol": 1e-9,
        "max_steps": 100,
        "record_times": np.array([0.0, 1.0]),
    }
    return {**given, **changed}


def explicit(**changed: Any) -> dict[str, Any]:
    weights, biases = [np.zeros((6, 3, 2)), np.zeros((6, 1, 3))], [np.zeros((6, 3)), np.zeros((6, 1))]
    return {"kind": "explicit", "weights": weights, "biases": biases, **changed}


def separated(**changed: Any) -> dict[str, Any]:
    given = {"kind": "separated", "scale": 0.5, "output_scale": 0.5, "directions": np.eye(2)}
    return {**given, "mode_direction": np.array([0, 1]), "mode_sign": np.array([1.0, -1.0]), **changed}


def reduction(**changed: Any) -> dict[str, Any]:
    return {"cell": 4, "stretch": 2, "bits": 3, "stops": False, "pairs": [], "events": [], "distributed": [], **changed}


def test(**changed: Any) -> dict[str, Any]:
    return {
        "inputs": np.zeros((2, 2)),
        "labels": np.array([1, -1]),
        "targets": None,
        "weights": np.array([0.5, 0.5]),
        **changed,
    }


test.__test__ = False  # type: ignore[attr-defined]

GOOD: dict[str, dict[str, Any]] = {
    "as it is": {},
    "explicit": {"start": explicit()},
    "separated": {"start": separated()},
    "statistics": {"reduction": reduction(pairs=[("loss", "loss")], events=[("loss", ">", 1.0)], distributed=["loss"])},
    "flow": {"method": flow()},
    "test samples": {"test": test(), "measures": ["test_loss"]},
    "alone": {"engine": "alone"},
    "alone, without hidden units": {
        "engine": "alone",
        "widths": [2, 1],
        "start": {"kind": "gaussian", "scales": [0.5]},
    },
    "three classes": {"widths": [2, 3, 3], "labels": np.array([0, 2, 1]), "loss": "cross_entropy"},
    "regression": {"labels": None, "targets": np.ones((3, 1)), "loss": "squared", "measures": ["loss", "residual"]},
    "unit vectors": {
        "widths": [2, 3, 3],
        "labels": np.array([0, 2, 1]),
        "targets": np.eye(3),
        "loss": "squared",
        "measures": ["error", "residual"],
    },
    "span": {"span": np.eye(2, 5)},
    "nothing recorded": {"measures": [], "method": descent(record_steps=np.zeros(0, dtype=int))},
}

BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"widths": []}, ValueError, "widths must be at least the inputs and the outputs, got 0 numbers"),
    ({"widths": [2, 0, 1]}, ValueError, "widths must be positive, got 0"),
    ({"widths": [2, 2**30, 1]}, ValueError, "widths must be of at most 2147483647 parameters"),
    ({"activation": "cos"}, ValueError, "activation must be relu"),
    ({"slope": math.nan}, ValueError, "slope must be from 0 to 1"),
    ({"scales": [1.0]}, ValueError, "scales must be one number per layer, or none, got 1 numbers"),
    ({"rates": [1.0, -1.0]}, ValueError, "rates must be finite and positive, got -1"),
    ({"inputs": np.ones((3, 3))}, ValueError, "inputs must be of shape (any, 2), got shape (3, 3)"),
    ({"inputs": np.ones(6)}, ValueError, "inputs must be of shape (any, 2), got shape (6)"),
    (
        {"inputs": np.ones((0, 2)), "labels": np.ones(0, int), "weights": np.ones(0)},
        ValueError,
        "samples must be from 1 to 2147483647, got 0",
    ),
    ({"inputs": np.full((3, 2), math.nan)}, ValueError, "inputs must be finite in the dtype, got nan"),
    ({"inputs": np.full((3, 2), 1e39), "dtype": "float32"}, ValueError, "inputs must be finite in the dtype, got"),
    ({"inputs": np.ones((3, 2), dtype=complex)}, TypeError, "inputs must be an array of numbers, got dtype complex128"),
    ({"inputs": [[1.0, 2.0]]}, TypeError, "inputs must be an array of numbers, got list"),
    ({"labels": np.array([1, -1])}, ValueError, "labels must be of shape (3), got shape (2)"),
    ({"labels": np.array([1, -1, 0])}, ValueError, "labels must be -1 or +1 for one output, got 0"),
    ({"labels": np.array([1.0, -1.0, 1.0])}, TypeError, "labels must be an array of integers, got dtype float64"),
    ({**GOOD["three classes"], "labels": np.array([0, 3, 1])}, ValueError, "labels must be from 0 to 2, got 3"),
    ({**GOOD["three classes"], "labels": np.array([0, -(2**63), 1])}, ValueError, "labels must be from 0 to 2, got -9"),
    (
        {**GOOD["three classes"], "loss": "hinge"},
        ValueError,
        "loss must be cross_entropy or squared for several outputs, got hinge",
    ),
    ({**GOOD["three classes"], "loss": "squared"}, ValueError, "targets must be given for the squared loss of several"),
    ({"labels": None}, ValueError, "labels must be given unless targets are, got neither"),
    ({"targets": np.ones((3, 1))}, ValueError, "labels must be left out where a single output has targets, got both"),
    ({**GOOD["regression"], "loss": "hinge"}, ValueError, "loss must be squared with targets, got hinge"),
    (
        {**GOOD["regression"], "targets": np.ones((3, 2))},
        ValueError,
        "targets must be of shape (3, 1), got shape (3, 2)",
    ),
    ({**GOOD["regression"], "targets": np.full((3, 1), math.inf)}, ValueError, "targets must be finite in the dtype"),
    (
        {**GOOD["regression"], "measures": ["margin"]},
        ValueError,
        "measures must be of outputs without labels, got margin",
    ),
    (
        {"measures": ["residual"]},
        ValueError,
        "measures must be without residual unless the loss is squared, got residual",
    ),
    ({**GOOD["regression"], "method": descent(fitted=True)}, ValueError, "method must be without a rule on margins"),
    ({**GOOD["regression"], "test": test()}, ValueError, "test targets must be given if and only if targets are"),
    ({"weights": np.array([0.5, 0.5])}, ValueError, "weights must be of shape (3), got shape (2)"),
    ({"weights": np.array([1.5, -0.5, 0.0])}, ValueError, "weights must be finite and not negative, got -0.5"),
    ({"weights": np.array([0.5, 0.5, 0.5])}, ValueError, "weights must be of sum 1, got 1.5"),
    ({"repeats": np.zeros(3)}, ValueError, "repeats must be from 1 to 2^53, got 0"),
    ({"span": np.zeros((1, 2))}, ValueError, "span must be of as many rows as there are inputs"),
    ({"span": np.eye(2, 5), "weight_decay": 0.1}, ValueError, "weight_decay must be 0 with a span, got 0.1"),
    ({"test": {"inputs": np.zeros((2, 2))}}, ValueError, "test must hold 'labels'"),
    ({"test": test(labels=np.array([1, 2]))}, ValueError, "test labels must be -1 or +1 for one output, got 2"),
    ({"loss": "absolute"}, ValueError, "loss must be cross_entropy, hinge"),
    ({"threshold": math.inf}, ValueError, "threshold must be finite and positive in the dtype, got inf"),
    ({"weight_decay": -0.1}, ValueError, "weight_decay must be finite and not negative in the dtype, got -0.1"),
    ({"spectral_decoupling": math.nan}, ValueError, "spectral_decoupling must be finite"),
    ({"start": {"kind": "gaussian"}}, ValueError, "start must hold 'scales'"),
    (
        {"start": {"kind": "gaussian", "scales": [0.5]}},
        ValueError,
        "start['scales'] must be one number per layer, got 1",
    ),
    ({"start": {"kind": "balanced", "scale": "much"}}, TypeError, "start['scale'] must not be of type str"),
    ({"start": {"kind": "zeros"}}, ValueError, "start kind must be gaussian"),
    ({"start": explicit(weights=[np.zeros((6, 3, 2))])}, ValueError, "start['weights'] must be one array per layer"),
    (
        {"start": explicit(), "networks": 7},
        ValueError,
        "start['weights'] must be of shape (7, 3, 2), got shape (6, 3, 2)",
    ),
    ({"start": explicit(biases=[])}, ValueError, "start['biases'] must be one array per layer"),
    ({"start": separated(mode_direction=np.array([0, 2]))}, ValueError, "start['mode_direction'] must be a row of"),
    ({"start": separated(mode_direction=np.zeros(0, int), mode_sign=np.zeros(0))}, ValueError, "of at least one mode"),
    ({"start": separated(), "widths": [2, 3, 3, 1]}, ValueError, "widths must be of two layers for start separated"),
    ({"method": {"kind": "newton"}}, ValueError, "method must be descent, or flow in float64, got newton"),
    ({"method": flow(), "dtype": "float32"}, ValueError, "method must be descent, or flow in float64, got flow"),
    ({"method": descent(steps=-1)}, ValueError, "method['steps'] must be not negative, got -1"),
    ({"method": descent(steps=0.5)}, TypeError, "method['steps'] must not be of type float"),
    ({"method": descent(steps=2**62)}, ValueError, "networks x steps must be small enough to be counted"),
    ({"method": descent(rates=np.array([math.nan]))}, ValueError, "method['rates'] must be finite and positive"),
    ({"method": descent(schedule=np.ones(3))}, ValueError, "method['schedule'] must be one number per step, or none"),
    ({"method": descent(schedule=np.zeros(4))}, ValueError, "method['schedule'] must be finite and positive"),
    ({"method": descent(momentum=1.0)}, ValueError, "method['momentum'] must be from 0 to 1, without 1"),
    ({"method": descent(momentum=math.nan)}, ValueError, "method['momentum'] must be from 0 to 1, without 1"),
    ({"measures": ("velocity",)}, ValueError, "measures must not hold velocity without momentum"),
    (
        {"method": descent(rates=np.array([0.1] * 7))},
        ValueError,
        "method['rates'] must be one number, or one per network",
    ),
    (
        {"method": descent(rates=np.array([1e39])), "dtype": "float32"},
        ValueError,
        "method['rates'] must be finite and positive",
    ),
    ({"start": {**explicit(), "resumed": {"kind": "gaussian"}}}, ValueError, "resumed kind must be explicit"),
    (
        {"method": descent(record_steps=np.array([0, 5]))},
        ValueError,
        "method['record_steps'] must be from 0 to the end, got 5",
    ),
    (
        {"method": descent(record_steps=np.array([2, 2]))},
        ValueError,
        "method['record_steps'] must be increasing, got 2",
    ),
    ({"method": flow(rtol=0.0)}, ValueError, "method['rtol'] must be from 1e-15 to 1, got 0"),
    ({"method": flow(max_steps=0)}, ValueError, "method['max_steps'] must be positive, got 0"),
    (
        {"method": flow(record_times=np.array([math.nan]))},
        ValueError,
        "method['record_times'] must be from 0 to the end, got nan",
    ),
    ({"measures": ["loss", "speed"]}, ValueError, "measures holds an unknown name: speed"),
    ({"measures": ["loss", "loss"]}, ValueError, "measures must not repeat loss"),
    ({"measures": ["test_loss"]}, ValueError, "measures must not hold test_loss without test samples"),
    ({"reduction": reduction(cell=0)}, ValueError, "reduction['cell'] must be positive, got 0"),
    ({"reduction": reduction(stretch=0)}, ValueError, "reduction['stretch'] must be positive, got 0"),
    ({"reduction": reduction(bits=60)}, ValueError, "reduction['bits'] must be from 0 to 16, got 60"),
    (
        {"reduction": reduction(pairs=[("loss", "margin")])},
        ValueError,
        "reduction['pairs'] must be of what is measured, got margin",
    ),
    ({"reduction": reduction(events=[("loss", "=", 1.0)])}, ValueError, "relation must be <, <=, > or >=, got ="),
    (
        {"reduction": reduction(distributed=["loss", "loss"])},
        ValueError,
        "reduction['distributed'] must not repeat loss",
    ),
    ({"measures": ["weights"], "reduction": reduction()}, ValueError, "measures holds what cannot be reduced: weights"),
    ({"networks": 0}, ValueError, "networks must be positive, got 0"),
    (
        {"networks": 2**60, "method": descent(steps=0, record_steps=np.array([0]))},
        ValueError,
        "networks x numbers x records must be small",
    ),
    ({"first": -1}, ValueError, "first must be not negative, and countable with the networks, got -1"),
    ({"first": 2**63 - 1}, ValueError, "first must be not negative, and countable with the networks"),
    ({"seed": -1}, TypeError, "incompatible function arguments"),
    ({"threads": 0}, ValueError, "threads must be from 1 to 1048576, got 0"),
    ({"engine": "gpu"}, ValueError, "engine must be auto, lanes or alone, got gpu"),
    ({"engine": "alone", "method": flow()}, ValueError, "engine must be auto or lanes for a flow"),
    ({"dtype": "float16"}, ValueError, "dtype must be float64 or float32, got float16"),
    ({"progress": 3}, ValueError, "progress must be a function or None, got int"),
    ({"tuning": (1, 2)}, TypeError, "tuning must be None or"),
    ({"tuning": (0, 2, True)}, ValueError, "tuning must be of caches from 1 to 2^40 bytes, got 0"),
]


@pytest.mark.parametrize("name", GOOD)
def test_what_fits_trains(name: str) -> None:
    assert (call(**GOOD[name])["status"] >= 0).all()


@pytest.mark.parametrize(("changed", "kind", "message"), BAD, ids=[message for _, _, message in BAD])
def test_what_does_not_fit_is_refused(changed: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call(**changed)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: _core.span(np.full((2, 3), math.nan), 2), "inputs must be finite, got nan"),
        (lambda: _core.span(np.zeros(3), 2), "inputs must be of shape (any, any), got shape (3)"),
        (lambda: _core.span(np.zeros((2, 3)), -1), "most must be not negative, got -1"),
        (lambda: _core.pack_bytes([2], 3, "float64"), "widths must be at least"),
        (lambda: _core.pack_bytes([2, 1], 0, "float64"), "samples must be from 1"),
        (lambda: _core.alone_bytes([2, 3, 1], False, False, 5, -1, 1, 1, "float64"), "test samples must be from 0"),
        (lambda: _core.alone_bytes([2, 3, 1], False, False, 5, 0, 0, 1, "float64"), "networks must be positive, got 0"),
        (lambda: _core.networks_alone([2], False, 5, 1, 1, "auto", False, "float64"), "widths must be at least"),
        (lambda: _core.networks_alone([2, 1], False, 0, 1, 1, "auto", False, "float64"), "samples must be from 1"),
        (lambda: _core.networks_alone([2, 1], False, 5, 1, 1, "wide", False, "float64"), "engine must be auto, lanes"),
        (lambda: _core.is_fixed([2, -1, 1], "relu"), "widths must be positive, got -1"),
        (lambda: _core.pack_networks([1], "float64"), "widths must be at least"),
        (lambda: _core.fma_peak(0, "float64", 0.01), "threads must be from 1"),
        (lambda: _core.fma_peak(1, "float64", math.inf), "seconds must be finite"),
    ],
)
def test_its_other_functions_check_too(ask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ask()
