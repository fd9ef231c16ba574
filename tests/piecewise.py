"""A flow that is smooth between switches, integrated from switch to switch: no step of the integrator crosses one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

Array = NDArray[np.float64]
Pattern = NDArray[np.bool_]
OfPattern = Callable[[Array, Pattern], Array]

# How far rounding moves a gate of order 1 that is at rest. A gate switches when it is further on its other side.
ROUNDING = 1e-13
MOST_SWITCHES = 1000


def integrate(
    slope: OfPattern,
    gates: OfPattern,
    start: Array,
    pattern: Pattern,
    times: Array,
    *,
    rtol: float,
    atol: float,
    longest: float = np.inf,
) -> Array:
    """Return the states (times, n) at ascending times, the first of which is that of ``init`` (n,).

    Parameters
    ----------
    slope, gates
        Velocity (n,) and gates (k,) of a state under a pattern (k,): which gates are open. Both are smooth in the
        state while the pattern holds. A gate switches where it crosses 0, and is open above.
    pattern
        Which gates are open at initialisation.
    longest
        The longest step. A gate that opens and closes again within a step is not seen.

    Raises
    ------
    ValueError
        The flow does not cross a gate but slides along it, which this does not follow.
    """
    state, now, pattern = np.array(start, dtype=np.float64), float(times[0]), np.array(pattern)
    found = np.full((len(times), len(state)), np.nan)
    found[0] = state
    for _ in range(MOST_SWITCHES):
        held = pattern.copy()
        part = solve_ivp(
            lambda _, y, held=held: slope(y, held), (now, times[-1]), state, "DOP853",
            events=[_switch(gates, held, k) for k in range(len(held))],
            dense_output=True, rtol=rtol, atol=atol, max_step=longest,
        )  # fmt: skip
        if not part.success:
            raise ValueError(f"the integration stopped at {part.t[-1]}: {part.message}")
        within = (times > now) & (times <= part.t[-1])
        if within.any():
            found[within] = part.sol(times[within]).T
        crossed = [k for k, at in enumerate(part.t_events) if len(at)]
        if not crossed:
            return found
        now, state = float(part.t[-1]), part.y[:, -1]
        pattern[crossed] ^= True
        # Behind a switch the flow leads away from it, or rests there.
        ahead = gates(state + 1e-6 * slope(state, pattern), pattern) - gates(state, pattern)
        back = np.where(pattern, -ahead, ahead)[crossed] > ROUNDING
        if back.any():
            raise ValueError(f"the flow slides along gate {np.array(crossed)[back][0]} from {now} on")
    raise ValueError(f"more than {MOST_SWITCHES} switches until {now}")


def _switch(gates: OfPattern, held: Pattern, k: int) -> Callable[[float, Array], float]:
    """Return the event at which gate k leaves the side on which it is held."""
    side = 1.0 if held[k] else -1.0

    def value(_: float, state: Array) -> float:
        return float(side * gates(state, held)[k]) + ROUNDING

    value.terminal, value.direction = True, -1.0  # type: ignore[attr-defined]
    return value
