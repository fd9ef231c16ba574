"""Every measure of many networks and steps at a time, each with the bound of its rounding (see ``batched``)."""

from __future__ import annotations

import numpy as np

from batched import Ball, Format, Pass, State, confidences, exactly, gaps, sample_losses, undecided
from reference import Array, Problem


def margins(setup: Problem, outputs: Ball, form: Format) -> Ball:
    """Return y f, or the label's output less the largest other: a difference, rounded once."""
    if outputs.mid.shape[-1] == 1:
        return Ball(setup.labels * outputs.mid[..., 0], outputs.rad[..., 0])
    rows = np.arange(len(setup.labels))
    others = outputs.mid.copy()
    others[..., rows, setup.labels] = -np.inf
    mid = outputs.mid[..., rows, setup.labels] - others.max(axis=-1)
    return form.ball(mid, 2 * outputs.rad.max(axis=-1) + form.eps * np.abs(mid), np.abs(mid))


def errors(setup: Problem, outputs: Ball, form: Format) -> Ball:
    """Return how wrong each sample is, 0 to 1: undecided within rounding of the boundary."""
    m = margins(setup, outputs, form)
    tied = np.full_like(m.mid, 0.5)
    if outputs.mid.shape[-1] > 1:
        own = outputs.mid[..., np.arange(len(setup.labels)), setup.labels]
        ties = (outputs.mid == own[..., None]).sum(axis=-1) - 1
        tied = ties / (ties + 1)
    mid = np.where(m.mid < 0, 1.0, np.where(m.mid == 0, tied, 0.0))
    return Ball(mid, 1.0 * undecided(m))


def _weighted(setup: Problem, values: Ball, form: Format) -> Ball:
    """Return the sum over samples; those of weight 0 have no part in it."""
    share = setup.weights
    mid = np.where(share > 0, share * values.mid, 0.0).sum(axis=-1)
    rad = np.where(share > 0, share * values.rad, 0.0).sum(axis=-1)
    size = np.where(share > 0, share * values.most, 0.0).sum(axis=-1)
    own = (len(share) + 4) * form.eps * size + (len(share) + 1) * form.tiny * (size > 0)
    return form.ball(mid, rad + own, size)


def of_samples(setup: Problem, outputs: Ball, form: Format, prefix: str = "") -> dict[str, Ball]:
    """Return what is measured on samples, of a pass over those of ``setup``."""
    with np.errstate(all="ignore"):
        found = {
            "loss": _weighted(setup, sample_losses(setup, outputs, form), form),
            "output": _per_sample(outputs),
        }
        if (targets := setup.squares()) is not None:
            found["residual"] = _per_sample(gaps(outputs, targets, form))
        if setup.labels is not None:
            chances = confidences(setup, outputs, form)
            unsure = Ball(1 - chances.mid, chances.rad + form.eps)
            found |= {
                "error": _weighted(setup, errors(setup, outputs, form), form),
                "soft_error": _weighted(setup, unsure, form),
                "margin": margins(setup, outputs, form),
            }
    return {prefix + name: ball for name, ball in found.items()}


def _per_sample(outputs: Ball) -> Ball:
    """Return numbers of outputs as they are recorded: without an axis of a single one."""
    one = outputs.mid.shape[-1] == 1
    return Ball(outputs.mid[..., 0], outputs.rad[..., 0]) if one else outputs


def of_units(run: Pass, form: Format) -> dict[str, Ball]:
    """Return which units are active."""
    active, near = [], []
    for a in run.leaving[:-1]:
        active.append((a.mid > 0).swapaxes(-1, -2))
        near.append(undecided(a).swapaxes(-1, -2))
    leading, samples = run.leaving[-1].mid.shape[:-2], run.leaving[-1].mid.shape[-2]
    none = np.zeros((*leading, 0, samples), bool)
    pattern = Ball(np.concatenate([*active, none], axis=-2), np.concatenate([*near, none], axis=-2).astype(float))
    layers = [Ball(a.mean(axis=(-1, -2)), n.mean(axis=(-1, -2)) + form.eps) for a, n in zip(active, near, strict=True)]
    return {
        "pattern": pattern,
        "unit_active": Ball(pattern.mid.mean(axis=-1), pattern.rad.mean(axis=-1) + form.eps),
        "active": Ball(_stacked([a.mid for a in layers], leading), _stacked([a.rad for a in layers], leading)),
    }


def of_norms(state: State, slope: State, form: Format) -> dict[str, Ball]:
    """Return the norm of the gradient ``slope``, and the distance from the first of states (networks, steps, ...)."""
    moved = []
    for w in state.arrays():
        gap = w.mid - w.mid[:, :1]
        moved.append(Ball(gap, w.rad + w.rad[:, :1] + form.eps * np.abs(gap)))
    return {"gradient_norm": _norm(slope.arrays(), form), "distance": _norm(moved, form)}


def _norm(arrays: list[Ball], form: Format) -> Ball:
    """Return the Euclidean norm of all numbers of each network and step."""
    squares = sum((a.mid**2).sum(axis=tuple(range(2, a.mid.ndim))) for a in arrays)
    reach = sum((a.rad**2).sum(axis=tuple(range(2, a.rad.ndim))) for a in arrays)
    count = sum(int(np.prod(a.mid.shape[2:])) for a in arrays)
    norm, underflow = np.sqrt(squares), np.sqrt(count * form.tiny)  # of the squares
    return form.ball(norm, np.sqrt(reach) + (count + 2) * form.eps * norm + underflow, np.asarray(squares))


def of_parameters(setup: Problem, state: State, form: Format) -> dict[str, Ball]:
    """Return what is measured of the parameters alone."""
    leading = state.weights[0].mid.shape[:-2]
    norms, balances = [], []
    for w in state.weights:
        square, count = _square(w, (-1, -2), form), w.mid.shape[-1] * w.mid.shape[-2]
        norm = np.sqrt(square.mid)
        moved = np.sqrt((w.rad**2).sum(axis=(-1, -2)))
        underflow = np.sqrt(count * form.tiny)  # of the squares
        norms.append(form.ball(norm, moved + (count + 2) * form.eps * norm + underflow, square.mid))
    for layer, w in enumerate(state.weights[:-1]):
        incoming, ratio = _square(w, (-1,), form), setup.rate(layer) / setup.rate(layer + 1)
        if state.biases:
            bias = _square(Ball(state.biases[layer].mid[..., None], state.biases[layer].rad[..., None]), (-1,), form)
            incoming = Ball(incoming.mid + bias.mid, incoming.rad + bias.rad + form.eps * incoming.mid)
        outgoing = _square(state.weights[layer + 1], (-2,), form).times(ratio)
        mid = incoming.mid - outgoing.mid
        size = incoming.mid + outgoing.mid
        rad = incoming.rad + outgoing.rad + 2 * form.eps * size
        balances.append(form.ball(mid, rad, np.maximum(size, outgoing.mid / ratio)))
    empty = exactly(np.zeros((*leading, 0)))
    return {
        "layer_norm": Ball(_stacked([n.mid for n in norms], leading), _stacked([n.rad for n in norms], leading)),
        "balance": Ball(
            np.concatenate([*(b.mid for b in balances), empty.mid], axis=-1),
            np.concatenate([*(b.rad for b in balances), empty.rad], axis=-1),
        ),
    }


def _square(w: Ball, axes: tuple[int, ...], form: Format) -> Ball:
    count = int(np.prod([w.mid.shape[axis] for axis in axes]))
    mid = (w.mid**2).sum(axis=axes)
    rad = (2 * np.abs(w.mid) * w.rad + w.rad**2).sum(axis=axes) + (count + 4) * form.eps * mid + count * form.tiny
    return form.ball(mid, rad, mid)


def _stacked(values: list[Array], leading: tuple[int, ...]) -> Array:
    return np.stack(values, axis=-1) if values else np.zeros((*leading, 0))


def all_measures(setup: Problem, state: State, run: Pass, form: Format) -> dict[str, Ball]:
    """Return every measure on the training samples and of the parameters, but for norms of differences."""
    with np.errstate(all="ignore"):
        return {
            **of_samples(setup, run.leaving[-1], form),
            **of_units(run, form),
            **of_parameters(setup, state, form),
        }
