"""How the networks are trained."""

from __future__ import annotations

from dataclasses import dataclass

from shoal import checks


@dataclass(frozen=True)
class Descent:
    """Full-batch gradient descent: theta <- theta - rate * gradient, ``steps`` times.

    Time is step x rate: as the rate goes to zero, descent becomes gradient flow, from which it is a distance
    proportional to the rate (docs/theory.md section 0).

    Parameters
    ----------
    rate
        Learning rate, positive; in units of time.
    steps
        Number of updates, not negative. With 0 the start itself is measured.

    Raises
    ------
    TypeError
        ``rate`` is not a number or ``steps`` not an integer.
    ValueError
        ``rate`` is not positive and finite, or ``steps`` is negative.

    Examples
    --------
    >>> Descent(rate=0.05, steps=4000).until
    200.0
    """

    rate: float
    steps: int

    def __post_init__(self) -> None:
        """Check the fields."""
        object.__setattr__(self, "rate", checks.positive("rate", self.rate))
        object.__setattr__(self, "steps", checks.integer("steps", self.steps, least=0, most=2**62))

    @property
    def until(self) -> float:
        """Time of the last step: steps x rate."""
        return self.steps * self.rate
