"""Which gates open, close or slide where surfaces meet: all combinations are tried, and one must be consistent.

The loss is continuous, so that the gradient jumps along the normal of a surface. The velocity along the surfaces that
slide is therefore the gradient of any side without its part along their normals, and the gates follow from that part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.optimize import linprog

from flow_gates import Array, Gated, Group, Mode, UndeterminedError, parallel_groups, rays

NEAR = 1e-10
"""Distance, relative to input and weights, up to which a surface counts as reached."""
WEAK = 1e-9
"""Relative speed, or part of a gate, up to which a combination still counts as consistent."""
MOST = 7
"""Surfaces that can meet where all combinations are tried."""


def start_mode(gated: Gated, flat: Array) -> Mode:
    """Return the mode by the signs of all heights."""
    hidden = gated.widths[1:-1] if gated.kinked else ()
    mode = Mode(
        [np.zeros((gated.samples, width)) for width in hidden],
        np.ones(gated.samples),
        [np.zeros((gated.samples, width), dtype=bool) for width in hidden],
    )
    for layer in range(len(hidden)):
        mode.gates[layer][:] = gated.forward(flat, mode)[1][layer] > 0
    if gated.hinged:
        mode.pulls[:] = gated.labels * gated.forward(flat, mode)[1][-1][:, 0] < gated.threshold
    return mode


def reached(gated: Gated, flat: Array, mode: Mode) -> tuple[list[Group], Mode]:
    """Return the groups of surfaces that the point lies on, and the mode in which they are held there, all closed.

    A unit that is closed on all samples is dead and stays so, also where it died on the surface of its last sample.
    """
    weights, biases = gated.unpacked(flat)
    here = replace(mode, gates=[g.copy() for g in mode.gates], pulls=mode.pulls.copy(), sliding=[])
    here.at = [np.zeros_like(at) for at in mode.at]
    groups: list[Group] = []
    for layer in range(len(here.gates)):
        entering, leaving = gated.forward(flat, here)
        vectors = entering[layer]
        if gated.bias:
            vectors = np.column_stack([vectors, np.ones(gated.samples)])
        sizes = np.linalg.norm(vectors, axis=1)
        for i in range(gated.widths[layer + 1]):
            length = np.linalg.norm(weights[layer][i]) + (abs(biases[layer][i]) if gated.bias else 0.0)
            near = np.abs(leaving[layer][:, i]) <= NEAR * sizes * max(1.0, length)
            near = (near | mode.at[layer][:, i]) & (sizes > 0)
            dead = not gated.slope and not (mode.gates[layer][:, i].any() or mode.at[layer][:, i].any())
            samples = [] if dead and weights[layer][i].any() else [int(s) for s in np.flatnonzero(near)]
            here.gates[layer][samples, i], here.at[layer][samples, i] = 0.0, True
            # What a sample brings to this layer may depend on a unit below that is held: such samples stand alone.
            below = np.any([at.any(axis=1) for at in here.at[:layer]], axis=0) if layer else np.zeros(len(sizes), bool)
            groups += parallel_groups(layer, i, [s for s in samples if not below[s]], vectors)
            groups += [Group(layer, i, ((s, 1),)) for s in samples if below[s]]
    if gated.hinged:
        gaps = gated.threshold - gated.labels * gated.forward(flat, here)[1][-1][:, 0]
        slides = {group.i for group in mode.sliding if group.l < 0}
        for s in range(gated.samples):
            if abs(gaps[s]) <= NEAR or s in slides:
                here.pulls[s] = 0.0
                groups.append(Group(-1, s))
    return groups, here


def independent(normals: Array) -> list[int]:
    """Return which normals to keep so that the rest is in their span."""
    kept: list[int] = []
    basis = np.zeros((0, normals.shape[1])) if len(normals) else normals
    for k, normal in enumerate(normals):
        left = normal - basis.T @ (basis @ normal)
        left -= basis.T @ (basis @ left)
        size = np.linalg.norm(left)
        if size > 1e-9 * np.linalg.norm(normal) and size > 0:
            basis = np.vstack([basis, left / size])
            kept.append(k)
    return kept


def deficient(groups: list[Group], normals: Array) -> list[tuple[int, int]]:
    """Return the units all of whose directions in play are held: more surfaces slide than they have dimensions."""
    units = sorted({(group.l, group.i) for group in groups if group.l >= 0})
    found = []
    for unit in units:
        rows = [k for k, group in enumerate(groups) if (group.l, group.i) == unit]
        if len(rows) > 1 and len(independent(normals[rows])) < len(rows):
            found.append(unit)
    return found


class Slide:
    """How the groups of a mode slide: which normals span the rest, and which units have nowhere to go."""

    def __init__(self, gated: Gated, flat: Array, mode: Mode) -> None:
        self.gated, self.mode = gated, mode
        entering, _ = gated.forward(flat, mode)
        normals = np.array([gated.normal(flat, mode, group, entering) for group in mode.sliding])
        resting = deficient(mode.sliding, normals) if len(normals) else []
        self.moving = [group for group in mode.sliding if (group.l, group.i) not in resting]
        self.resting = [[g for g in mode.sliding if (g.l, g.i) == unit] for unit in resting]
        self.known_rays: list[Array | None] = [None for _ in resting]
        spanning = [mode.sliding[k] for k in independent(normals)]
        # Those that move come first: their parts are asked for.
        self.basis = [*self.moving, *(group for group in spanning if group not in self.moving)]
        self.dependent = not set(self.moving) <= set(spanning)
        self.vertex = self._vertex(flat)

    def _vertex(self, flat: Array) -> Mode:
        """Return the mode with all that slides closed, but the gates of layers behind as they are when it opens."""
        vertex = self.gated.settle(flat, self.mode.with_gates(self.moving, np.full(len(self.moving), 0.5)))
        for group in self.moving:
            for s, _ in group.members:
                vertex.gates[group.l][s, group.i] = 0.0
            if group.l < 0:
                vertex.pulls[group.i] = 0.0
        return vertex

    def velocity(self, flat: Array) -> tuple[Array, Array]:
        """Return the velocity, and how much of each normal of the basis was taken off."""
        passed = self.gated.forward(flat, self.vertex)
        field = self.gated.velocity(flat, self.vertex, passed)
        if not self.basis:
            return field, np.zeros(0)
        normals = np.array([self.gated.normal(flat, self.vertex, group, passed[0]) for group in self.basis])
        lengths = np.linalg.norm(normals, axis=1)
        scaled = normals / lengths[:, None]
        gram = scaled @ scaled.T
        parts = np.linalg.solve(gram, scaled @ field)
        left = field - scaled.T @ parts
        more = np.linalg.solve(gram, scaled @ left)
        return left - scaled.T @ more, (parts + more) / lengths

    def openings(self, flat: Array) -> tuple[Array, Array, Mode]:
        """Return how far the moving groups are open, how strongly they attract (positive), and the mode with that.

        Opened by g, a gate adds g d times its normal to the velocity, with the derivative d of the loss behind it. That
        is minus what the projection took off. Layers behind are opened first, for d has their gates.
        """
        if self.gated.layers > 2:
            self.vertex = self._vertex(flat)
        _, parts = self.velocity(flat)
        return self._opened(flat, dict(zip(self.basis, parts, strict=True)))

    def _opened(self, flat: Array, parts: dict[Group, float]) -> tuple[Array, Array, Mode]:
        gated = self.gated
        mode = replace(self.vertex, gates=[g.copy() for g in self.vertex.gates], pulls=self.vertex.pulls.copy())
        values, attracts = {}, {}
        for group in self.moving:
            if group.l < 0:
                values[group], attracts[group] = parts[group] / gated.shares[group.i], 1.0
                mode.pulls[group.i] = values[group]
        weights, _ = gated.unpacked(flat)
        entering, leaving = gated.forward(flat, mode)
        delta = gated.pull(leaving[-1], mode.pulls)
        for layer in reversed(range(len(mode.gates))):
            delta = delta @ weights[layer + 1]
            for group in self.moving:
                if group.l != layer:
                    continue
                which, signs = np.array(group.members).T
                vectors = entering[layer][which]
                if gated.bias:
                    vectors = np.column_stack([vectors, np.ones(len(which))])
                sizes = np.linalg.norm(vectors, axis=1)
                jumps = (1 - gated.slope) * delta[which, group.i] * sizes / sizes[0]
                total = jumps.sum()
                attracts[group] = -total * sizes[0]
                above = jumps[signs < 0].sum() - parts[group]
                values[group] = above / total if abs(above) < 1e9 * abs(total) else 1e9
                mode.gates[layer][which, group.i] = np.where(signs > 0, values[group], 1 - values[group])
            delta = delta * gated.slopes(layer, mode, entering[layer + 1])
        ordered = [(values[group], attracts[group]) for group in self.moving]
        both = np.array(ordered).reshape(-1, 2)
        return both[:, 0], both[:, 1], mode

    def slack(self, flat: Array, mode: Mode, k: int) -> tuple[float, bool]:
        """Return how firmly unit k is held that has nowhere to go, and whether no gates at all could hold it.

        Locally the loss is phi(d) = -f.d - sum_s c_s max(u_s.d, 0) as a function of the unit's incoming weights d. It
        is linear between its surfaces, so that it is nowhere negative where it is not on the rays in which these meet.
        The first number is the least of them over the size of the terms: from 0 on, the unit can only rest.
        """
        gated, groups = self.gated, self.resting[k]
        layer, i = groups[0].l, groups[0].i
        members = [s for group in groups for s, _ in group.members]
        entering, _ = gated.forward(flat, mode)
        vectors = entering[layer][members]
        if gated.bias:
            vectors = np.column_stack([vectors, np.ones(len(members))])
        base, coefficients = self._block_and_jumps(flat, mode, layer, i, members)
        if layer or self.known_rays[k] is None:
            self.known_rays[k] = rays(vectors)
        directions = self.known_rays[k]
        phi = -directions @ base - np.maximum(directions @ vectors.T, 0.0) @ coefficients
        size = np.abs(base).max() + np.abs(coefficients[:, None] * vectors).max()
        if size == 0:
            return 0.0, False
        least = float(phi.min() / size)
        if least >= -WEAK:
            return least, False
        # Could any gates between 0 and 1 hold it? base + sum_s g_s c_s u_s = 0 in the span of the vectors.
        _, sizes, axes = np.linalg.svd(vectors)
        inside = axes[: int((sizes > 1e-9 * sizes[0]).sum())]
        towards = inside @ (coefficients[:, None] * vectors).T / size
        held = linprog(np.zeros(len(members)), A_eq=towards, b_eq=-inside @ base / size, bounds=(0, 1))
        return least, held.status == 2

    def _block_and_jumps(self, flat: Array, mode: Mode, layer: int, i: int, members: list[int]) -> tuple[Array, Array]:
        """Return the velocity of a unit's incoming weights with all members closed, and what each adds opened."""
        weights, _ = self.gated.unpacked(flat)
        entering, leaving = self.gated.forward(flat, mode)
        delta = self.gated.pull(leaving[-1], mode.pulls)
        for above in reversed(range(layer, len(mode.gates))):
            delta = delta @ weights[above + 1]
            if above > layer:
                delta = delta * self.gated.slopes(above, mode, entering[above + 1])
        slopes = self.gated.opened(mode.gates[layer][:, i]).copy()
        slopes[members] = self.gated.slope
        into = np.column_stack([entering[layer], np.ones(self.gated.samples)]) if self.gated.bias else entering[layer]
        return (delta[:, i] * slopes) @ into, (1 - self.gated.slope) * delta[members, i]


@dataclass
class Choice:
    """One combination at a point, groups open (+1), closed (-1) or sliding (0), and whether it is consistent."""

    signs: tuple[int, ...]
    mode: Mode
    velocity: Array
    consistent: bool
    size: float = 0.0
    unstable: bool = False


def choice(gated: Gated, flat: Array, here: Mode, groups: list[Group], signs: tuple[int, ...]) -> Choice:
    """Return a combination."""
    mode = gated.settle(flat, here.with_gates(groups, [float(sign > 0) for sign in signs]))
    mode.sliding = [group for group, sign in zip(groups, signs, strict=True) if sign == 0]
    for group in mode.sliding:
        for s, _ in group.members:
            mode.gates[group.l][s, group.i] = 0.0
    slide = Slide(gated, flat, mode)
    if slide.dependent:
        return Choice(signs, mode, flat, False)
    velocity, _ = slide.velocity(flat)
    size = gated.size(flat, here)
    entering, _ = gated.forward(flat, slide.vertex)
    for group, sign in zip(groups, signs, strict=True):
        if sign:
            normal = gated.normal(flat, slide.vertex, group, entering)
            if sign * (normal @ velocity) < -WEAK * (size or 1.0) * np.linalg.norm(normal):
                return Choice(signs, mode, velocity, False)
    values, _, opened = slide.openings(flat)
    if np.any(values < -WEAK) or np.any(values > 1 + WEAK):
        return Choice(signs, mode, velocity, False)
    for k in range(len(slide.resting)):
        slack, impossible = slide.slack(flat, opened, k)
        if slack < -WEAK:
            return Choice(signs, mode, velocity, False, size, unstable=not impossible)
    return Choice(signs, mode, velocity, True, size)


def decide(gated: Gated, flat: Array, mode: Mode, keep: bool = False) -> Mode:
    """Return the mode in which the flow leaves a point where surfaces meet.

    Combinations of one velocity are one flow: of those the one that slides least is taken, or most (``keep``).

    Raises
    ------
    UndeterminedError
        Where no combination or more than one is consistent, or there are too many to try.
    """
    groups, here = reached(gated, flat, mode)
    if not groups:
        return here
    choices = [choice(gated, flat, here, groups, signs) for signs in combinations(gated, flat, here, groups)]
    good = sorted((c for c in choices if c.consistent), key=lambda c: len(c.mode.sliding) * (-1 if keep else 1))
    unstable = any(c.unstable for c in choices)
    size = max((c.size for c in good), default=0.0)
    same = all(np.linalg.norm(c.velocity - good[0].velocity) <= 10 * WEAK * size for c in good)
    if not good:
        raise UndeterminedError(f"not decided: {len(groups)} surfaces meet, and no combination is consistent")
    if not same or unstable:
        told = sorted({f"{np.linalg.norm(c.velocity):.3g}": str(c.signs) for c in good}.items())
        told += [("", "a rest that is not stable")] * unstable
        raise UndeterminedError(f"not unique: {len(groups)} surfaces meet, and these (by speed) are consistent: {told}")
    return finished(gated, flat, good[0])


def combinations(gated: Gated, flat: Array, here: Mode, groups: list[Group]) -> list[tuple[int, ...]]:
    """Return the combinations to try: all, or where those are too many, units with nowhere to go only at rest."""
    # The squared hinge has no jump at its threshold: there is nothing to slide along.
    every = [(1, -1) if group.l < 0 and gated.loss == "squared_hinge" else (1, -1, 0) for group in groups]
    if len(groups) <= MOST:
        return list(product(*every))
    entering, _ = gated.forward(flat, here)
    normals = np.array([gated.normal(flat, here, group, entering) for group in groups])
    resting = deficient(groups, normals)
    free = [(group.l, group.i) not in resting for group in groups]
    if sum(free) > MOST:
        raise UndeterminedError(f"not decided: {len(groups)} surfaces meet, too many to try all combinations")
    return list(product(*(signs if moves else (0,) for signs, moves in zip(every, free, strict=True))))


def finished(gated: Gated, flat: Array, chosen: Choice) -> Mode:
    """Return the mode of a choice, ready to integrate: only what slides is held, what coincides in one group."""
    mode = replace(chosen.mode, at=[np.zeros_like(at) for at in chosen.mode.at])
    for group in mode.sliding:
        for s, _ in group.members:
            mode.at[group.l][s, group.i] = True
    entering, _ = gated.forward(flat, mode)
    merged: list[tuple[Group, Array]] = []
    for group in mode.sliding:
        normal = gated.normal(flat, mode, group, entering)
        normal /= np.linalg.norm(normal)
        for k, (other, head) in enumerate(merged):
            sign = 1 if head @ normal > 0 else -1
            if group.l >= 0 and (group.l, group.i) == (other.l, other.i) and np.abs(normal - sign * head).max() < 1e-9:
                more = tuple((s, sign * side) for s, side in group.members)
                merged[k] = (Group(other.l, other.i, other.members + more), head)
                break
        else:
            merged.append((group, normal))
    mode.sliding = [group for group, _ in merged]
    return mode


def released(mode: Mode, group: Group, opened: bool) -> Mode:
    """Return the mode in which one group no longer slides but is open or closed."""
    left = mode.with_gates([group], [float(opened)])
    left.sliding = [other for other in mode.sliding if other != group]
    left.at = [at.copy() for at in mode.at]
    for s, _ in group.members:
        left.at[group.l][s, group.i] = False
    return left
