"""Statistics that cannot be kept are refused, by a message that says what came and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

import shoal

CASES: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: shoal.Record(reduce=shoal.Statistics), TypeError, "reduce must be one of moments"),  # type: ignore[arg-type]
    (
        lambda: shoal.Record(measure=("loss", "pattern"), reduce=shoal.Statistics()),
        ValueError,
        "measure must not hold 'pattern' with reduce=Statistics: it is of single networks",
    ),
    (
        lambda: shoal.Record(measure=("loss",), reduce=shoal.Statistics(covariance=(("loss", "error"),))),
        ValueError,
        "covariance must be of recorded measures, loss, got 'error'",
    ),
    (
        lambda: shoal.Record(measure=("loss", "margin"), reduce=shoal.Statistics(events=("error > 0",))),
        ValueError,
        "events must be of recorded measures, loss, margin, got 'error'",
    ),
    (
        lambda: shoal.Record(reduce=shoal.Statistics(distribution=("balance",))),
        ValueError,
        "distribution must be of recorded measures, loss, error, margin, got 'balance'",
    ),
    (
        lambda: shoal.Statistics(covariance="loss"),  # type: ignore[arg-type]
        TypeError,
        "covariance must be pairs of measures such as (('loss', 'error'),), got 'loss'",
    ),
    (
        lambda: shoal.Statistics(covariance=("loss", "error")),  # type: ignore[arg-type]
        TypeError,
        "covariance must hold pairs of measures such as ('loss', 'error'), got 'loss'",
    ),
    (
        lambda: shoal.Statistics(covariance=(("loss", "error", "loss"),)),  # type: ignore[arg-type]
        TypeError,
        "covariance must hold pairs of measures such as ('loss', 'error'), got ('loss', 'error', 'loss')",
    ),
    (
        lambda: shoal.Statistics(covariance=(("loss", "margin"),)),
        ValueError,
        "covariance must be one of loss, error, soft_error, gradient_norm, distance, sharpness, "
        "kernel_distance, test_loss, test_error, test_soft_error, got 'margin'",
    ),
    (
        lambda: shoal.Statistics(covariance=(("loss", "error"), ["loss", "error"])),  # type: ignore[arg-type]
        ValueError,
        "covariance must not repeat an entry, got (('loss', 'error'), ('loss', 'error'))",
    ),
    (
        lambda: shoal.Statistics(events="error > 0"),
        TypeError,
        "events must be texts such as ('error > 0',), got 'error",
    ),
    (lambda: shoal.Statistics(events=(0,)), TypeError, "events must hold texts such as 'error > 0', got 0"),  # type: ignore[arg-type]
    *(
        (
            lambda text=text: shoal.Statistics(events=(text,)),
            ValueError,
            f"events must read 'MEASURE RELATION NUMBER' with RELATION one of <, <=, >, >=, got {text!r}",
        )
        for text in ("error", "error = 0", "error > nan", "error > zero", "0 < error", "error > 0 and loss < 1", "")
    ),
    (lambda: shoal.Statistics(events=("margin > 0",)), ValueError, "events must be one of loss, error, soft_error"),
    (
        lambda: shoal.Statistics(events=("error>0", " error  >  0.00 ")),
        ValueError,
        "events must not repeat an entry, got ('error > 0', 'error > 0')",
    ),
    (lambda: shoal.Statistics(distribution="loss"), TypeError, "distribution must be measures such as ('loss',), got"),
    (
        lambda: shoal.Statistics(distribution=(["loss"],)),  # type: ignore[arg-type]
        TypeError,
        "distribution must hold names of measures such as 'loss', got ['loss']",
    ),
    (
        lambda: shoal.Statistics(distribution=("loss", "loss")),
        ValueError,
        "distribution must not repeat an entry, got ('loss', 'loss')",
    ),
    (lambda: shoal.Statistics(resolution=11), ValueError, "resolution must be between 0 and 10, got 11"),
    (lambda: shoal.Statistics(resolution=-1), ValueError, "resolution must be between 0 and 10, got -1"),
    (lambda: shoal.Statistics(resolution=2.0), TypeError, "resolution must be an integer, got 2.0"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "kind", "message"), CASES)
def test_statistics_refuse(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()


def test_an_event_is_named_by_its_shortest_text() -> None:
    given = ("error>0", "loss <= .10", "soft_error >= 1e-3", "loss > 0.30000000000000004", "loss < inf")
    named = ("error > 0", "loss <= 0.1", "soft_error >= 0.001", "loss > 0.30000000000000004", "loss < inf")
    assert shoal.Statistics(events=given).events == named
    assert shoal.Statistics(events=named).events == named
