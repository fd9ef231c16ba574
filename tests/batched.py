"""The oracle for many networks and steps at a time, each number with a bound of how far rounding can carry it.

The formulas are those of ``reference`` (theory book, chapter 0), the bounds those of ``rounding``: a priori, and not
by looking at results. Parameters, and all that is made of them, have leading axes (networks, steps) of any number.
``test_batched.py`` compares both with the two modules.

A bound is infinite where a number may leave the range of the format. Where a kink is within rounding, the slope beyond
it is allowed too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

import reference
from reference import Array, Problem
from rounding import FUNCTION_UNITS, bend, gamma, largest, steepest

PIECEWISE = ("relu", "leaky_relu", "linear")


@dataclass(frozen=True)
class Format:
    """A floating-point format: its unit, below what functions may stop (twice its smallest normal), and its largest."""

    eps: float
    tiny: float
    largest: float

    @classmethod
    def of(cls, dtype: str) -> Format:
        info = np.finfo(dtype)
        return cls(float(info.eps), 2 * float(info.tiny), float(info.max))

    def ball(self, mid: Array, rad: Array, size: Array) -> Ball:
        """Return a number that was made of others of that ``size``: where they may overflow it can be anything."""
        return Ball(mid, np.where(size + rad <= self.largest, rad, np.inf))


class Ball(NamedTuple):
    """Numbers, and how far from them what a core computes can be."""

    mid: Array
    rad: Array

    @property
    def most(self) -> Array:
        return np.abs(self.mid) + self.rad

    @property
    def turned(self) -> Ball:
        """The transposed matrices."""
        return Ball(self.mid.swapaxes(-1, -2), self.rad.swapaxes(-1, -2))

    def times(self, factor: Array | float) -> Ball:
        return Ball(factor * self.mid, np.abs(factor) * self.rad)


def exactly(values: Array) -> Ball:
    return Ball(values, np.zeros_like(values))


@dataclass(frozen=True)
class State:
    """The weights (..., outputs, inputs) of each layer, and the biases (..., outputs) or none."""

    weights: list[Ball]
    biases: list[Ball]

    def arrays(self) -> list[Ball]:
        return [*self.weights, *self.biases]


def matrix_product(a: Ball, b: Ball, roundings: int, form: Format, sizes: tuple[Array, Array] | None = None) -> Ball:
    """Return a @ b, sums of products in any order, of numbers that were made of others of those ``sizes``."""
    left, right = (a.most, b.most) if sizes is None else sizes
    size = left @ right
    spread = np.abs(a.mid) @ b.rad + a.rad @ b.most
    own = gamma(roundings, form.eps) * size + roundings * form.tiny * (size > 0)
    return form.ball(a.mid @ b.mid, spread + own, size)


@dataclass(frozen=True)
class Pass:
    """A forward pass: what enters each layer, the sizes of the sums it was made of, and what leaves it."""

    entering: list[Ball]
    sizes: list[Array]
    leaving: list[Ball]

    def near_kinks(self, setup: Problem) -> Array:
        """Return which networks have a unit at a kink within rounding."""
        if jump_of_slope(setup) == 0:
            return np.zeros(self.leaving[-1].mid.shape[:-2], bool)
        near = [undecided(a).any(axis=(-1, -2)) for a in self.leaving[:-1]]
        return np.logical_or.reduce([np.zeros(self.leaving[-1].mid.shape[:-2], bool), *near])


def undecided(a: Ball) -> Array:
    """Return where rounding decides whether the number is positive."""
    return ~(np.abs(a.mid) > a.rad) & (a.rad > 0)


def at_most_one(rad: Array, of: Ball) -> Array:
    """Return the bound of a number in 0..1 that is made of ``of``: anything where that may overflow."""
    return np.where(np.isfinite(of.rad), np.minimum(1.0, rad), np.inf)


def jump_of_slope(setup: Problem) -> float:
    """Return by how much the slope of the activation jumps at 0."""
    return {"relu": 1.0, "leaky_relu": 1 - setup.slope}.get(setup.activation, 0.0)


def extra_roundings(setup: Problem) -> int:
    """Return what a core makes of scales and rates before the sums: a rounded factor and a product, twice."""
    return 0 if set((*setup.scales, *setup.rates)) <= {1.0} else 4


def forward(setup: Problem, state: State, inputs: Ball, form: Format, first: Ball | None = None) -> Pass:
    """Return the pass; of a centred network the last outputs are less ``first``, those of its initialisation."""
    entering, sizes, leaving = [inputs], [inputs.most], []
    extra = extra_roundings(setup)
    for layer, weight in enumerate(state.weights):
        used = weight.times(setup.scale(layer)).turned
        bias = state.biases[layer] if state.biases else None
        terms = used.mid.shape[-2] + 1 + extra
        a = matrix_product(entering[-1], used, terms, form, (sizes[-1], used.most))
        size = sizes[-1] @ used.most
        if bias is not None:
            size = size + bias.most[..., None, :]
            rad = a.rad + bias.rad[..., None, :] + gamma(terms, form.eps) * bias.most[..., None, :]
            a = form.ball(a.mid + bias.mid[..., None, :], rad, size)
        leaving.append(a)
        if layer + 1 < len(state.weights):
            z, size = activated(setup, a, size, form)
            entering.append(z)
            sizes.append(size)
    if first is not None:
        mid = leaving[-1].mid - first.mid
        leaving[-1] = form.ball(mid, leaving[-1].rad + first.rad + form.eps * np.abs(mid), np.abs(mid))
    return Pass(entering, sizes, leaving)


def activated(setup: Problem, a: Ball, size: Array, form: Format) -> tuple[Ball, Array]:
    """Return the activations, and the sizes that they were made of."""
    z = reference.activate(setup.activation, setup.slope, a.mid)
    # The slope of leaky_relu is itself rounded.
    own = {"relu": 1, "linear": 1, "leaky_relu": 2, "quadratic": 1}.get(setup.activation, FUNCTION_UNITS + 1)
    rad = steepest(setup.activation, a.most) * a.rad + own * form.eps * np.abs(z) + form.tiny * (a.mid != 0)
    size = largest(setup.activation, size)
    if jump_of_slope(setup) == 1:  # exactly 0 where it is surely off
        off = a.mid + a.rad <= 0
        rad, size = np.where(off, 0.0, rad), np.where(off, 0.0, size)
    return Ball(z, rad), size


def slopes(setup: Problem, a: Ball, form: Format) -> Ball:
    mid = reference.derivative(setup.activation, setup.slope, a.mid)
    if setup.activation in PIECEWISE:
        return Ball(mid, jump_of_slope(setup) * undecided(a) + form.eps * mid)
    if setup.activation == "quadratic":
        return Ball(mid, 2 * a.rad + form.eps * np.abs(mid))
    # Slopes lie in 0..2: that of erf is up to 1.13.
    return Ball(mid, 2 * at_most_one((bend(setup.activation) * a.rad + (FUNCTION_UNITS + 1) * form.eps) / 2, a))


def sample_losses(setup: Problem, outputs: Ball, form: Format) -> Ball:
    """Return l of each sample."""
    own = FUNCTION_UNITS * form.eps
    if setup.targets is not None:
        gap = gaps(outputs, setup.targets, form)
        mid = (gap.mid**2).sum(axis=-1) / 2
        rad = (gap.most * gap.rad).sum(axis=-1) + own * mid + form.tiny
        return form.ball(mid, rad, mid)
    if outputs.mid.shape[-1] > 1:
        losses = _log_sum_exp(outputs.mid) - _own(outputs.mid, setup.labels)
        spread = 4 * form.eps * np.abs(outputs.mid).max(axis=-1)
        return Ball(losses, 2 * outputs.rad.max(axis=-1) + own * (1 + np.abs(losses)) + spread)
    m = Ball(setup.labels * outputs.mid[..., 0], outputs.rad[..., 0])
    r = residuals(setup, m, form)
    mid = reference.loss_of_margin(setup.loss, setup.threshold, m.mid)
    rad = r.most * m.rad + own * (np.abs(mid) + 1) + form.tiny
    return form.ball(mid, rad, np.abs(mid))


def gaps(outputs: Ball, targets: Array, form: Format) -> Ball:
    """Return outputs less targets, each rounded once."""
    mid = outputs.mid - targets
    return form.ball(mid, outputs.rad + form.eps * np.abs(mid), np.abs(mid))


def residuals(setup: Problem, m: Ball, form: Format) -> Ball:
    """Return r = -l' of each margin; it falls with the margin, so that the ends of the interval are the worst."""
    mid = reference.residual_of_margin(setup.loss, setup.threshold, m.mid)
    low, high = (
        reference.residual_of_margin(setup.loss, setup.threshold, m.mid + side * m.rad) for side in (-1.0, 1.0)
    )
    shift = {"squared": 1.0, "squared_hinge": setup.threshold}.get(setup.loss, 0.0)
    ends = np.maximum(np.abs(low - mid), np.abs(high - mid))
    rad = ends + FUNCTION_UNITS * form.eps * (np.abs(mid) + shift) + form.tiny * (mid != 0)
    return form.ball(mid, np.where(np.isfinite(m.rad), rad, np.inf), np.abs(mid))


def confidences(setup: Problem, outputs: Ball, form: Format) -> Ball:
    """Return the probability of each sample's label."""
    own = FUNCTION_UNITS * form.eps
    if outputs.mid.shape[-1] == 1:
        mid = reference._sigmoid(setup.labels * outputs.mid[..., 0])
        return Ball(mid, at_most_one(outputs.rad / 4 + own, outputs)[..., 0])
    chances = softmax(outputs, form)
    return Ball(_own(chances.mid, setup.labels), _own(chances.rad, setup.labels) + own)


def softmax(outputs: Ball, form: Format) -> Ball:
    shifted = outputs.mid - outputs.mid.max(axis=-1, keepdims=True)
    raised = np.exp(shifted)
    mid = raised / raised.sum(axis=-1, keepdims=True)
    top = outputs.rad.max(axis=-1, keepdims=True)
    # exp of a difference: the difference is rounded in units of its own size.
    spread = np.abs(shifted).max(axis=-1, keepdims=True)
    own = np.expm1(2 * top) + form.eps * spread + FUNCTION_UNITS * form.eps
    return Ball(mid, at_most_one(2 * mid * own + form.tiny, outputs))


def output_errors(setup: Problem, outputs: Ball, form: Format) -> Ball:
    """Return the derivative of what is descended by each output; samples of weight 0 have none."""
    share = setup.weights
    if setup.targets is not None:
        gap = gaps(outputs, setup.targets, form)
        delta = Ball(gap.mid, gap.rad + 2 * form.eps * np.abs(gap.mid)).times(share[:, None])
    elif outputs.mid.shape[-1] > 1:
        chances = softmax(outputs, form)
        mid = chances.mid - np.eye(outputs.mid.shape[-1])[setup.labels]
        delta = Ball(mid, chances.rad + 2 * form.eps).times(share[:, None])
    else:
        r = residuals(setup, Ball(setup.labels * outputs.mid[..., 0], outputs.rad[..., 0]), form)
        delta = Ball(-setup.labels * r.mid, r.rad + 2 * form.eps * np.abs(r.mid)).times(share)
        delta = Ball(delta.mid[..., None], delta.rad[..., None])
    if setup.spectral_decoupling:
        pull = setup.spectral_decoupling * share[:, None]
        mid = delta.mid + pull * outputs.mid
        rad = delta.rad + pull * (outputs.rad + 2 * form.eps * np.abs(outputs.mid))
        delta = Ball(mid, rad + form.eps * np.abs(mid))
    silent = (share == 0)[:, None]
    return Ball(np.where(silent, 0.0, delta.mid), np.where(silent, 0.0, delta.rad + form.tiny))


def gradient(setup: Problem, state: State, run: Pass, form: Format) -> State:
    """Return the gradient of what is descended, by backpropagation."""
    extra = extra_roundings(setup)
    samples, inputs = run.entering[0].mid.shape[-2:]
    delta = output_errors(setup, run.leaving[-1], form)
    weights: list[Ball] = []
    biases: list[Ball] = []
    for layer in reversed(range(len(state.weights))):
        own = samples + inputs + 4 + extra
        sizes = (delta.turned.most, run.sizes[layer])
        slope = matrix_product(delta.turned, run.entering[layer], own, form, sizes)
        weights.insert(0, slope.times(setup.scale(layer)))
        if state.biases:
            size = delta.most.sum(axis=-2)
            biases.insert(0, form.ball(delta.mid.sum(-2), delta.rad.sum(-2) + gamma(own, form.eps) * size, size))
        if layer:
            used = state.weights[layer].times(setup.scale(layer))
            back = matrix_product(delta, used, used.mid.shape[-2] + 1 + extra, form)
            phi = slopes(setup, run.leaving[layer - 1], form)
            mid = back.mid * phi.mid
            delta = Ball(mid, back.rad * phi.most + np.abs(back.mid) * phi.rad + form.eps * np.abs(mid))
    return State(
        [_decayed(setup, w, g, extra, form) for w, g in zip(state.weights, weights, strict=True)],
        [_decayed(setup, b, g, extra, form) for b, g in zip(state.biases, biases, strict=True)],
    )


def _decayed(setup: Problem, parameter: Ball, slope: Ball, extra: int, form: Format) -> Ball:
    if not setup.weight_decay:
        return slope
    shrunk = setup.weight_decay * (1 + extra) * form.eps
    rad = slope.rad + form.eps * np.abs(slope.mid) + shrunk * np.abs(parameter.mid)
    return Ball(slope.mid + setup.weight_decay * parameter.mid, rad + setup.weight_decay * parameter.rad)


def descend(setup: Problem, state: State, slope: State, rate: float | Array, form: Format) -> State:
    """Return the parameters after one update, of each layer at its own rate; ``rate`` may be one per network."""

    def after(values: list[Ball], slopes: list[Ball]) -> list[Ball]:
        moved = []
        for layer, (w, g) in enumerate(zip(values, slopes, strict=True)):
            far = np.reshape(rate, (-1, *(1,) * (w.mid.ndim - 1))) * setup.rate(layer)
            own = 2 * form.eps * far * np.abs(g.mid) + form.eps * (np.abs(w.mid) + far * np.abs(g.mid))
            mid, rad = w.mid - far * g.mid, w.rad + far * g.rad + own + form.tiny
            moved.append(form.ball(mid, rad, np.abs(w.mid) + far * g.most))
        return moved

    return State(after(state.weights, slope.weights), after(state.biases, slope.biases))


def with_samples(setup: Problem, inputs: Array, labels: Array | None, targets: Array | None, weights: Array) -> Problem:
    return replace(setup, inputs=inputs, labels=labels, targets=targets, weights=weights)


def _own(values: Array, labels: Array) -> Array:
    """Return of (..., samples, outputs) that of each sample's label."""
    return np.take_along_axis(values, np.broadcast_to(labels[:, None], (*values.shape[:-1], 1)), axis=-1)[..., 0]


def _log_sum_exp(outputs: Array) -> Array:
    top = outputs.max(axis=-1, keepdims=True)
    return np.asarray(top[..., 0] + np.log(np.exp(outputs - top).sum(axis=-1)))
