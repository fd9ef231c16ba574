"""Many separated networks at once: every mode's clock through the deaths of its neurons.

| symbol | meaning | name | shape |
|---|---|---|---|
| u | 2 tau, twice a mode's residual clock | ``u`` | (curves,) |
| t | time | ``time`` | (curves,) |
| a, zt | a neuron's component along its mode, y z | ``a``, ``zt`` | (networks, neurons) |
| ln alpha | alpha = rho/4 sum (a + zt)^2 over live neurons | ``grow`` | (curves,) |
| ln beta | beta = rho/4 sum (a - zt)^2 over live neurons | ``decay`` | (curves,) |
| u_d | clock at which a neuron dies, ln((a - zt)/|a + zt|) | ``death`` | (networks, neurons) |
| epsilon | +1 where a margin rises, -1 where it falls | ``sense`` | (curves,) |

A *curve* is one mode of one network, number network * modes + mode. All curves advance together, each from death to
death, or from panel to panel if the quadrature needs panels. Two modes in opposite directions advance in step, because
a neuron that dies on one may come alive on the other. A falling margin (squared loss above 1) is the mirror image
zt -> -zt, m -> -m, h -> -h of a rising one.

Source: theory book, chapters 1 and 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.theory.geometry import TaskModes
from shoal.theory.residual import Residual
from shoal.theory.separated.stretch import BEYOND, State, Stretch, stretch

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Neurons:
    """A block of separated networks in gradient flow.

    Parameters
    ----------
    home, a, zt
        (networks, neurons) as :func:`shoal.theory.geometry.settle` returns them.
    modes
        The task's modes.
    residual
        The loss.

    Attributes
    ----------
    home
        (networks, neurons) int64, the mode on which each neuron lives now; -1 on none.
    death_time
        (networks, neurons) float64, when each neuron left its first mode; infinite where it has not.
    """

    def __init__(self, home: Index, a: Array, zt: Array, modes: TaskModes, residual: Residual) -> None:
        self.modes, self.residual = modes, residual
        self.home = home.copy()
        self.death_time = np.full(home.shape, np.inf)
        networks, count = len(home), modes.count
        self.curves = networks * count
        self.mode = np.tile(np.arange(count), networks)
        self.rate = 2.0 * (modes.frequencies * modes.norms)[self.mode]
        products = np.where(home[..., None] == np.arange(count), (a * zt)[..., None], 0.0)
        self.margin = (modes.norms * products.sum(axis=1)).ravel()
        direction = residual.direction(self.margin)
        self.sense = np.where(direction < 0, -1.0, 1.0)
        self.target = self.sense * residual.target
        beyond = self.margin >= BEYOND if residual.family == "exponential" else np.zeros(self.curves, dtype=np.bool_)
        self.at_rest: Flags = (direction == 0) | (self.rate == 0) | beyond
        self.time = np.zeros(self.curves)
        self.u = np.zeros(self.curves)
        self._set_neurons(a, zt)
        self.grow, self.decay, self.next_death = (np.empty(self.curves) for _ in range(3))
        self.next_neuron = np.empty(self.curves, dtype=np.int64)
        self.empty: Flags = np.empty(self.curves, dtype=np.bool_)
        self._refresh(np.arange(self.curves))

    def _set_neurons(self, a: Array, zt: Array) -> None:
        """Store what the clock needs of each neuron: its parts of alpha and beta, its death and its invariant."""
        networks, neurons = a.shape
        curve = np.arange(networks)[:, None] * self.modes.count + self.home
        mirrored = np.where(self.home >= 0, self.sense[curve], 1.0) * zt
        plus, minus = a + mirrored, a - mirrored
        quarter = 0.25 * self.modes.norms[self.home]
        self.part_up, self.part_down = quarter * plus**2, quarter * minus**2
        self.death = np.full((networks, neurons), np.inf)
        dies = (plus < 0) & (self.home >= 0)
        self.death[dies] = np.log(minus[dies] / -plus[dies])
        self.invariant = np.abs(plus * minus)

    def _refresh(self, curves: Index) -> None:
        """Recompute alpha, beta and the next death of ``curves`` from the neurons that live on them now."""
        network, mode = np.divmod(curves, self.modes.count)
        here = self.home[network] == mode[:, None]
        with np.errstate(divide="ignore"):
            self.grow[curves] = np.log(np.sum(np.where(here, self.part_up[network], 0.0), axis=1))
            self.decay[curves] = np.log(np.sum(np.where(here, self.part_down[network], 0.0), axis=1))
        deaths = np.where(here, self.death[network], np.inf)
        self.next_neuron[curves] = deaths.argmin(axis=1) if deaths.shape[1] else 0
        self.next_death[curves] = deaths.min(axis=1, initial=np.inf)
        self.empty[curves] = np.isneginf(self.grow[curves]) & np.isneginf(self.decay[curves])

    def run(self, until: float, times: Array | None = None) -> Array:
        """Advance to time ``until`` and return the margins at ``times``.

        Parameters
        ----------
        until
            Time; infinite to follow every neuron to its end.
        times
            (times,) sorted, none beyond ``until``; without them the run stops at the last death.

        Returns
        -------
        ndarray of float64, (curves, times)
        """
        asked = np.empty(0) if times is None else times
        out = np.repeat(self.margin[:, None], len(asked), axis=1)
        while True:
            active = ~self.at_rest & ~self.empty & (self.time < until)
            if times is None:
                active &= self._awaits_death()
            curves = np.flatnonzero(active)
            if len(curves) == 0:
                return out
            state = State(self.grow[curves], self.decay[curves], self.u[curves], self.target[curves])
            with np.errstate(over="ignore", under="ignore"):
                path = stretch(state, self.residual, self.next_death[curves])
                right, end = self._synchronise(curves, path)
                self._record(curves, state, path, end, asked, out)
                self.u[curves], self.time[curves] = right, end
                self._settle(curves, state, asked, out)

    def _awaits_death(self) -> Flags:
        """Return the curves on which, or opposite to which, a neuron is still to die."""
        waiting = np.isfinite(self.next_death)
        opposite = self._opposite(np.arange(self.curves))
        return waiting | ((opposite >= 0) & waiting[opposite])

    def _opposite(self, curves: Index) -> Index:
        """Return the curve of the antipodal mode in the same network, or -1."""
        mode = self.mode[curves]
        other = self.modes.opposite[mode]
        return np.where(other >= 0, curves - mode + other, -1)

    def _synchronise(self, curves: Index, path: Stretch) -> tuple[Array, Array]:
        """Return clock and time at the end of each stretch, cut short if the opposite mode's stretch ends earlier."""
        right, end = path.right.copy(), self.time[curves] + path.theta / self.rate[curves]
        if not (self.modes.opposite >= 0).any():
            return right, end
        ends = np.full(self.curves, np.inf)
        ends[curves] = end
        opposite = self._opposite(curves)
        limit = np.where(opposite >= 0, ends[opposite], np.inf)
        cut = np.flatnonzero(limit < end)
        theta = (limit[cut] - self.time[curves[cut]]) * self.rate[curves[cut]]
        right[cut], end[cut] = path.u_at(cut, theta), limit[cut]
        return right, end

    def _record(self, curves: Index, state: State, path: Stretch, end: Array, times: Array, out: Array) -> None:
        """Write the margins at the times that lie in each curve's stretch."""
        before = np.searchsorted(times, self.time[curves], side="right")
        after = np.searchsorted(times, end, side="right")
        number = after - before
        rows = np.repeat(np.arange(len(curves)), number)
        if len(rows) == 0:
            return
        columns = np.arange(len(rows)) - np.repeat(np.cumsum(number) - number - before, number)
        theta = (times[columns] - self.time[curves[rows]]) * self.rate[curves[rows]]
        u = path.u_at(rows, theta)
        out[curves[rows], columns] = self.sense[curves[rows]] * state.margin(u, rows)

    def _settle(self, curves: Index, state: State, times: Array, out: Array) -> None:
        """Apply the events at the ends of the stretches: targets reached, deaths, and neurons that change sides."""
        ended = np.isfinite(self.u[curves])
        margin = np.where(ended, state.margin(np.where(ended, self.u[curves], 0.0)), 0.0)
        if self.residual.family == "step":
            done = self.u[curves] >= self._reach(state)
            margin = np.where(done, self.target[curves], margin)
        else:
            done = margin > BEYOND if self.residual.family == "exponential" else np.zeros(len(curves), dtype=np.bool_)
        self.at_rest[curves[done]] = True
        dying = curves[~done & ended & (self.u[curves] >= self.next_death[curves])]
        if len(dying):
            self._bury(dying)
        still = done | self.empty[curves]
        value = np.where(self.empty[curves], 0.0, self.sense[curves] * margin)
        self._hold(curves[still], value[still], times, out)

    def _reach(self, state: State) -> Array:
        slope = np.hypot(state.target, 2.0 * np.exp(0.5 * (state.grow + state.decay)))
        return np.log(0.5 * (state.target + slope)) - state.grow

    def _hold(self, curves: Index, value: Array, times: Array, out: Array) -> None:
        """Write the margin that modes keep from now on."""
        later = times > self.time[curves][:, None]
        out[curves] = np.where(later, value[:, None], out[curves])

    def _bury(self, dying: Index) -> None:
        """Remove the next neuron of each of ``dying`` from its mode; move it to the opposite one if that drives it."""
        network, neuron = dying // self.modes.count, self.next_neuron[dying]
        self.death_time[network, neuron] = self.time[dying]
        self.death[network, neuron] = np.inf
        target = self._welcome(dying)
        goes = target >= 0
        self.home[network, neuron] = np.where(goes, self.mode[target], -1)
        arrivals = target[goes]
        if len(arrivals):
            self._arrive(arrivals, network[goes], neuron[goes], self.time[dying[goes]])
        self._refresh(np.concatenate([dying, arrivals]))

    def _welcome(self, curves: Index) -> Index:
        """Return the opposite curve if a neuron that dies on ``curves`` comes alive on it, else -1.

        At its death a = 0 and epsilon zt < 0. On the other side a' has the sign of r y z: the neuron comes alive if
        that mode is not at rest and y_A y_B epsilon_A epsilon_B = -1. Else both sides drive it to a = 0, where it
        stays.
        """
        opposite = self._opposite(curves)
        signs = self.modes.labels[self.mode] * self.sense
        return np.where((opposite >= 0) & ~self.at_rest[opposite] & (signs[curves] != signs[opposite]), opposite, -1)

    def _arrive(self, curves: Index, network: Index, neuron: Index, time: Array) -> None:
        """Add neurons to ``curves`` with a = 0 and zt = sqrt(invariant)."""
        self.time[curves] = time
        # No neuron depends on the clock of an empty mode, or of one that decays to 0, so it may start anew.
        faded = self.empty[curves] | (np.isneginf(self.grow[curves]) & (self.u[curves] > 300.0))
        leavers = np.flatnonzero(faded & ~self.empty[curves])
        if len(leavers):
            at = network[leavers]
            stale = self.home[at] == self.mode[curves[leavers]][:, None]
            stale[np.arange(len(leavers)), neuron[leavers]] = False
            self.home[at] = np.where(stale, -1, self.home[at])
        self.u[curves[faded]] = 0.0
        part = 0.25 * self.modes.norms[self.mode[curves]] * self.invariant[network, neuron]
        self.part_up[network, neuron] = part * np.exp(-self.u[curves])
        self.part_down[network, neuron] = part * np.exp(self.u[curves])

    def hopeless(self) -> Flags:
        """Return the curves (curves,) without a live neuron that grows; a margin that falls to its target has one."""
        return self.empty | (np.isneginf(self.grow) & (self.sense > 0))

    def bury_doomed(self) -> None:
        """Apply the deaths at times beyond the largest double, for the limit of infinite time.

        In the exponential family the clock has no end, so that every doomed neuron leaves its mode at last.
        """
        if self.residual.family != "exponential":
            return
        self.at_rest &= self.rate == 0
        while True:
            dying = np.flatnonzero(np.isfinite(self.next_death) & (self.rate > 0))
            if len(dying) == 0:
                return
            self.time[dying] = np.inf
            self._bury(dying)
