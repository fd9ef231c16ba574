"""An independent gradient flow of one network in the sense of Filippov, slow and obvious, event by event.

Between events all gates are fixed (flow_gates.py) and the field is smooth: SciPy's method of order 8 at rtol 1e-12. An
event is a surface that is reached, or a gate that slides and is at the end of its range. flow_decide.py then says which
gates open, close or slide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import DOP853
from scipy.optimize import brentq

from flow_decide import Slide, decide, released, start_mode
from flow_gates import Array, Gated, Mode, UndeterminedError

RTOL, ATOL = 1e-12, 1e-15
PARTS = 8
"""Points in a step at which events are looked for."""
SLACK = 1e-13
"""How far beyond a surface a point may lie by rounding."""


@dataclass
class Answer:
    """What came out: margins (times, samples), NaN after ``ended``, where the flow is not determined any more."""

    margins: Array
    state: Array
    ended: float
    reason: str
    events: list[str]

    @property
    def determined(self) -> bool:
        return not self.reason


class Piece:
    """The flow between two events."""

    def __init__(self, gated: Gated, flat: Array, mode: Mode) -> None:
        self.gated, self.mode = gated, mode
        self.sides = gated.sides(mode)
        self.slide = Slide(gated, flat, mode)
        if self.slide.dependent:
            raise UndeterminedError("not decided: surfaces of several units that slide depend on each other")

    def velocity(self, _: float, flat: Array) -> Array:
        return self.slide.velocity(flat)[0]

    def at_rest(self, flat: Array, time: float) -> bool:
        """Return whether nothing moves any more until a time so far away."""
        speed, size = np.linalg.norm(self.velocity(time, flat)), self.gated.size(flat, self.mode)
        return bool(speed <= 1e-14 * size or speed * time <= 1e-15 * np.linalg.norm(flat))

    def watched(self, flat: Array) -> Array:
        """Return what is positive inside the piece.

        Heights by their sides, then of groups that slide openings, their distance from 1 and how they attract, and of
        units with nowhere to go how firmly they rest.
        """
        heights = self.sides * self.gated.heights(flat, self.mode)
        if not self.mode.sliding:
            return heights
        values, attracts, opened = self.slide.openings(flat)
        slacks = [self.slide.slack(flat, opened, k)[0] for k in range(len(self.slide.resting))]
        return np.concatenate([heights, values, 1 - values, attracts, slacks])

    def what(self, event: int) -> tuple[str, int]:
        """Return what an event is, and which of its kind."""
        k, moving = event - len(self.sides), len(self.slide.moving)
        if k < 0:
            return "reaches", event
        kind = ("closes", "opens", "repels", "rest")[min(k // moving, 3) if moving else 3]
        return kind, k - 3 * moving if kind == "rest" else k % moving


class Integration:
    """One network's flow, from event to event."""

    def __init__(self, gated: Gated, flat: Array, most_events: int = 2000) -> None:
        self.gated, self.flat, self.time = gated, flat.copy(), 0.0
        self.events: list[str] = []
        self.most_events, self.time_of_event = most_events, 0.0
        self.piece = Piece(gated, self.flat, decide(gated, self.flat, start_mode(gated, self.flat)))

    def advance(self, until: float) -> None:
        """Go to a time, through all events before it."""
        while self.time < until:
            if self.piece.at_rest(self.flat, until - self.time):
                self.time = until
                return
            solver = DOP853(self.piece.velocity, self.time, self.flat, until, rtol=RTOL, atol=ATOL)
            while solver.status == "running":
                before, at = solver.y.copy(), solver.t
                said = solver.step()
                if solver.status == "failed":
                    raise UndeterminedError(f"not decided: the integration of a smooth stretch failed: {said}")
                dense = solver.dense_output()
                found = self._first_event(at, solver.t, dense)
                if found is not None:
                    self._meet(before, at, *found)
                    break
                self.time, self.flat = solver.t, solver.y.copy()

    def _first_event(self, begin: float, end: float, dense: Any) -> tuple[float, int] | None:
        """Return time and index of the first event of a step, also where a height comes back within it."""
        times = np.linspace(begin, end, PARTS + 1)
        values = np.array([self.piece.watched(dense(t)) for t in times])
        slack = SLACK * (1 + np.abs(values).max(axis=0))
        candidates = []
        for event in np.flatnonzero((values[1:] < -slack).any(axis=0)):
            j = int(np.argmax(values[1:, event] < -slack[event])) + 1
            candidates.append((j - 1, times[j - 1], times[j], int(event)))
        for j, event in zip(*self._dips(values), strict=True):
            low = self._lowest(times[j - 1], times[j + 1], int(event), dense)
            if low[1] < -slack[event]:
                candidates.append((j - 1, times[j - 1], low[0], int(event)))
        if not candidates:
            return None
        roots = []
        for _, left, right, event in candidates:

            def height(t: float, event: int = event) -> float:
                return float(self.piece.watched(dense(t))[event] + slack[event])

            roots.append((left if height(left) <= 0 else brentq(height, left, right, xtol=1e-15, rtol=1e-15), event))
        return min(roots)

    def _dips(self, values: Array) -> tuple[Any, Any]:
        """Return where three points in a row suggest a minimum at or below 0 between them."""
        left, middle, right = values[:-2], values[1:-1], values[2:]
        curve = left - 2 * middle + right
        slope = (right - left) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            lowest = middle - slope**2 / (2 * curve)
        dips = (left > 0) & (middle > 0) & (right > 0) & (middle <= left) & (middle <= right) & (lowest < 0.5 * middle)
        rows, columns = np.nonzero(dips)
        return rows + 1, columns

    def _lowest(self, left: float, right: float, event: int, dense: Any) -> tuple[float, float]:
        """Return time and height of a minimum, by golden section."""
        ratio = (np.sqrt(5) - 1) / 2
        for _ in range(40):
            one, other = right - ratio * (right - left), left + ratio * (right - left)
            low = self.piece.watched(dense(one))[event], self.piece.watched(dense(other))[event]
            if min(low) < 0:
                return (one, low[0]) if low[0] < 0 else (other, low[1])
            left, right = (left, other) if low[0] < low[1] else (one, right)
        return left, float(self.piece.watched(dense(left))[event])

    def _meet(self, before: Array, begin: float, time: float, event: int) -> None:
        """Go to the event, on to its very surface, and decide."""
        kind, which = self.piece.what(event)
        at_once = bool(self.events) and time - self.time_of_event < 1e-11 * max(1.0, time)
        self.events.append(f"{time:.12g}: {kind} {which}")
        if len(self.events) > self.most_events:
            raise UndeterminedError(f"not decided: more than {self.most_events} events")
        flat = before
        if time > begin:
            solver = DOP853(self.piece.velocity, begin, before, time, rtol=RTOL, atol=ATOL)
            while solver.status == "running":
                solver.step()
            flat = solver.y
        velocity, width = self.piece.velocity(time, flat), 1e-6 * (time - begin) + 1e-12
        height = self.piece.watched(flat)[event]
        ahead = self.piece.watched(flat + width * velocity)[event]
        behind = self.piece.watched(flat - width * velocity)[event]
        speed = (ahead - behind) / (2 * width)
        if speed < 0 and abs(height / speed) < 1e-6 * max(1.0, time):
            flat = flat - height / speed * velocity
            time = max(begin, time - height / speed)
        self.flat, self.time, self.time_of_event = flat, time, time
        if kind == "repels":
            raise UndeterminedError("not unique: a gate that slides no longer attracts")
        if kind in ("closes", "opens") and self.gated.layers < 3:
            mode = self.gated.settle(flat, released(self.piece.mode, self.piece.slide.moving[which], kind == "opens"))
        else:
            mode = decide(self.gated, flat, self.piece.mode, keep=at_once)
        self.piece = Piece(self.gated, flat, mode)


def integrate(gated: Gated, flat: Array, times: Array) -> Answer:
    """Return the margins at increasing times."""
    margins = np.full((len(times), gated.task.answers.size), np.nan)
    events: list[str] = []
    flow = None
    try:
        flow = Integration(gated, np.asarray(flat, dtype=np.float64))
        events = flow.events
        for k, time in enumerate(times):
            flow.advance(float(time))
            margins[k] = gated.margins(flow.flat)
    except UndeterminedError as error:
        ended = flow.time if flow else 0.0
        return Answer(margins, flow.flat if flow else np.asarray(flat), ended, str(error), events)
    return Answer(margins, flow.flat, float(times[-1]), "", events)
