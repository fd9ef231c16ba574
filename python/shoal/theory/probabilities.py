"""How often training fails, over random initialisations.

| symbol | meaning | name | shape |
|---|---|---|---|
| k, h | neurons that serve the mode; neurons of the network | ``neurons`` | any |
| sigma_w | standard deviation of a first-layer weight | ``weight_std`` | scalar |
| sigma_z | standard deviation of an output weight | ``output_std`` | scalar |
| P | probability of failure | - | as ``neurons`` |

Source: theory book, chapter 2.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.base.former import knows


@knows
def death_probability(weight_std: float = 1.0, output_std: float = 1.0) -> float:
    """Return the probability 1/2 - atan(sigma_w/sigma_z)/pi that an active neuron dies, 1/4 at equal deviations.

    The neuron has a = |N(0, sigma_w^2)| and zt = N(0, sigma_z^2), and dies iff a + zt < 0, whatever the loss as long as
    its clock does not stop first (formula (2.5) of the theory book).

    Raises
    ------
    TypeError
        A standard deviation is not a number.
    ValueError
        A standard deviation is not positive.

    Examples
    --------
    >>> death_probability()
    0.25
    """
    first = checks.positive("weight_std", weight_std)
    last = checks.positive("output_std", output_std)
    return math.atan2(last, first) / math.pi


@knows
def failure_probability(
    neurons: ArrayLike,
    weight_std: float = 1.0,
    output_std: float = 1.0,
    data: Literal["separated", "antipodal"] = "separated",
) -> NDArray[np.float64]:
    """Return the probability that training fails, with the shape of ``neurons``, float64.

    Parameters
    ----------
    neurons
        Any shape, integers. For ``"separated"``: neurons active on the mode at initialisation; the probability is that
        all of them die, death_probability ** neurons. Modes fail independently of each other. For ``"antipodal"``:
        neurons of a network on {x, -x} with opposite labels; the probability is that all serve the same point at last,
        2^(1-h).
    weight_std, output_std
        Standard deviations of first-layer and output weights, isotropic and Gaussian. Without effect on antipodal
        data, where any initialisation that is symmetric in sign gives the same distribution.
    data
        ``"separated"`` or ``"antipodal"``.

    Raises
    ------
    TypeError
        ``neurons`` are not integers, or a standard deviation is not a number.
    ValueError
        ``neurons`` are negative, a standard deviation is not positive, or ``data`` is neither name.

    Notes
    -----
    The antipodal formula is that of losses whose clock has no end (cross-entropy, exponential), at infinite time. A
    hinge or squared loss can stop the clock of one point before a neuron has left it for the other: then it fails more
    often.

    Source: formulas (2.6) and (2.7) of the theory book.

    Examples
    --------
    >>> failure_probability([1, 2, 3])
    array([0.25    , 0.0625  , 0.015625])
    >>> failure_probability([2, 5], data="antipodal")
    array([0.5   , 0.0625])
    """
    given = checks.plain("neurons", neurons)
    if given.dtype.kind not in "iu":
        raise TypeError(f"neurons must be integers, got dtype {given.dtype}")
    if (given < 0).any():
        raise ValueError(f"neurons must not be negative, got {given.min()}")
    checks.choice("data", data, ("separated", "antipodal"))
    dies = death_probability(weight_std, output_std)
    count = given.astype(np.float64)
    # Without neurons, failure is certain for both data.
    probability = dies**count if data == "separated" else np.minimum(2.0 ** (1.0 - count), 1.0)
    return np.asarray(probability, dtype=np.float64)
