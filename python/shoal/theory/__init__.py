"""Exact theory of the dynamics of small networks: NumPy and SciPy only, no trainer.

| symbol | meaning | name | shape |
|---|---|---|---|
| m(t) | margin of one mode | ``Mode.margin`` | as the times |
| m_s(t) | margins of separated networks, deaths included | ``separated_margins`` | (networks, times, samples) |
| - | which neurons die, and when; which modes fail | ``separated_fates`` | :class:`Fates` |
| P | chance that a neuron dies | ``death_probability`` | scalar |
| P | chance that training fails | ``failure_probability`` | as ``neurons`` |

Source: docs/theory.md.
"""

from shoal.theory.laws import death_probability, failure_probability
from shoal.theory.mode import Mode
from shoal.theory.separated import Fates, separated_fates, separated_margins

__all__ = ["Fates", "Mode", "death_probability", "failure_probability", "separated_fates", "separated_margins"]
