"""The losses, all of them functions l of the margin m; the residual is r(m) = -l'(m). One is of targets too."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from shoal.base import checks
from shoal.base.frozen import Frozen


class Loss(Frozen, ABC):
    """What every loss has: its ``name``, and the ``threshold`` of a hinge, the margin at which it is satisfied.

    The core knows the five losses below and no other.
    Source: theory book, chapter 0.
    """

    name: ClassVar[str]
    is_hinge: ClassVar[bool] = False

    @property
    @abstractmethod
    def threshold(self) -> float:
        """Margin from which the loss is zero; 1, without effect, if the loss is no hinge."""


class _Smooth(Loss):
    threshold: ClassVar[float] = 1.0


@dataclass(frozen=True, eq=False, repr=False)
class _Hinge(Loss):
    is_hinge: ClassVar[bool] = True
    threshold: float = 1.0

    def __post_init__(self) -> None:
        """Check the fields."""
        self._fill(threshold=checks.positive("threshold", self.threshold))


@dataclass(frozen=True, eq=False, repr=False)
class CrossEntropy(_Smooth):
    """l(m) = log(1 + exp(-m)), r(m) = 1 / (1 + exp(m)); softmax cross-entropy for K outputs.

    A residual below 2^-996 counts as 0 (below 2^-100 in single precision), since it moves no weight; for K outputs, a
    class that much less likely than the most likely one.
    """

    name: ClassVar[str] = "cross_entropy"


@dataclass(frozen=True, eq=False, repr=False)
class Exponential(_Smooth):
    """l(m) = r(m) = exp(-m). A residual below 2^-996 counts as 0 (below 2^-100 in single precision)."""

    name: ClassVar[str] = "exponential"


@dataclass(frozen=True, eq=False, repr=False)
class Squared(_Smooth):
    """l(m) = (1 - m)^2 / 2, r(m) = 1 - m.

    For K outputs, and for targets y of ``Task.regression``, 1/2 |f(x) - y|^2: the target of a label k is 1 for output k
    and 0 for the others.
    """

    name: ClassVar[str] = "squared"


@dataclass(frozen=True, eq=False, repr=False)
class Hinge(_Hinge):
    """l(m) = max(h - m, 0), r(m) = 1 for m < h and 0 from h on, with h = ``threshold``."""

    name: ClassVar[str] = "hinge"


@dataclass(frozen=True, eq=False, repr=False)
class SquaredHinge(_Hinge):
    """l(m) = max(h - m, 0)^2 / 2, r(m) = max(h - m, 0), with h = ``threshold``."""

    name: ClassVar[str] = "squared_hinge"


for _kind in (Hinge, SquaredHinge):
    _kind.__doc__ = f"""{_kind.__doc__ or ""}

    Parameters
    ----------
    threshold
        The margin h from which the loss is 0, positive and finite.

    Raises
    ------
    TypeError, ValueError
        ``threshold`` is not such a number.
    """

_KINDS: tuple[type[Loss], ...] = (CrossEntropy, Hinge, SquaredHinge, Exponential, Squared)
LOSSES: dict[str, type[Loss]] = {kind.name: kind for kind in _KINDS}


def resolve_loss(loss: str | Loss) -> Loss:
    """Return the loss that a name stands for; a loss is returned as it is.

    Examples
    --------
    >>> resolve_loss("hinge")
    Hinge(threshold=1.0)
    """
    if isinstance(loss, _KINDS):
        return loss
    if not isinstance(loss, str):
        raise TypeError(
            f"loss must be one of {', '.join(LOSSES)} or a shoal loss, got {loss!r} of type {type(loss).__name__}"
        )
    return LOSSES[checks.choice("loss", loss, LOSSES)]()
