"""Exact theory of the dynamics of small networks: NumPy and SciPy only, no trainer.

| symbol | meaning | name | shape |
|---|---|---|---|
| m(t) | margin of one mode | ``Mode.margin`` | as the times |
| m_s(t) | margins of separated networks, deaths included | ``separated_margins`` | (networks, times, samples) |
| m(t), a_l(t) | unbalanced layers | ``Chain`` | as the times, (layers, times) |
| m_s(t) | margins on classes of many points | ``OrderParameters`` | (networks, times, samples) |
| u_k(t), m_T(t) | features that share samples | ``Features`` | (features, times), (types, times) |
| u_2(u_1) | the power law of starvation, its bound and its ceiling | ``starved_strength`` | as ``strength`` |
| m_-, m_+ | where penalties bring one mode to rest | ``PenalisedMode`` | scalar |
| z | where penalties bring a linear model to rest | ``penalised_linear`` | :class:`PenalisedLinear` |
| xi | margin that spectral decoupling gives a sample | ``decoupled_margin`` | as ``spectral_decoupling`` |
| u(t) | deep linear modes: flow and time | ``linear_mode``, ``learning_time`` | as the times |
| u | descent of such modes: steps, cycle of two | ``descend_mode``, ``descend_cycle`` | steps first; two scalars |
| x | descent beside a minimum | ``descend_quadratic``, ``stable_sharpness`` | (steps + 1,), scalar |
| w(t) | incremental learning; growth like ln t | ``power_mode``, ``exponential_weight`` | as the times |
| w_hat | direction of that growth | ``separator`` | (inputs,) |
| w_tilde | its offset, the same from all initial weights | ``separable_growth`` | :class:`Growth` |
| w_i, z_i | ReLU neurons of small initial weights | ``early_alignment`` | :class:`EarlyAlignment` |
| f(t) | outputs with a constant tangent kernel, by flow | ``kernel_flow`` | (.., times, samples) |
| f_k | the same by descent | ``kernel_descent`` | (.., steps, samples) |
| Theta | that kernel at infinite width | ``wide_kernel`` | (points, points) |
| G, v, q | linear networks in the mean-field parametrisation | ``linear_mean_field`` | :class:`LinearMeanField` |
| - | scatter and bias of such networks at a finite width | ``linear_finite_width`` | :class:`FiniteWidth` |
| - | which neurons die, and when; which modes fail | ``separated_deaths`` | :class:`NeuronDeaths` |
| P | probability that a neuron dies | ``death_probability`` | scalar |
| P | probability that training fails | ``failure_probability`` | as ``neurons`` |
| gamma(t) | wide networks with a hinge, mean field | ``MeanFieldHinge`` | as the times |
| a, w(t) | the same from other initialisations | ``MeanFieldPopulation`` | (nodes, times) |
| s(t) | their noise under training | ``TrainedNoise`` | as the times |

The theory book, docs/theory of the repository, derives every formula; docstrings cite its numbers.
"""

from typing import Any

from shoal.base import former
from shoal.theory.chain import Chain
from shoal.theory.early_alignment import EarlyAlignment, early_alignment
from shoal.theory.features.features import Features
from shoal.theory.growth import Growth, separable_growth
from shoal.theory.kernel_regime import kernel_descent, kernel_flow, wide_kernel
from shoal.theory.linear_mean_field import FiniteWidth, LinearMeanField, linear_finite_width, linear_mean_field
from shoal.theory.mean_field.hinge import MeanFieldHinge
from shoal.theory.mean_field.noise import TrainedNoise
from shoal.theory.mode import Mode
from shoal.theory.neighbours import (
    descend_cycle,
    descend_mode,
    exponential_weight,
    learning_time,
    linear_mode,
    power_mode,
    separator,
)
from shoal.theory.order_parameters.order_parameters import ClassFlow, OrderParameters
from shoal.theory.penalised_linear import PenalisedLinear, penalised_linear
from shoal.theory.penalty import PenalisedMode, decoupled_margin
from shoal.theory.population.population import MeanFieldPopulation
from shoal.theory.probabilities import death_probability, failure_probability
from shoal.theory.separated.margins import NeuronDeaths, separated_deaths, separated_margins
from shoal.theory.stability import descend_quadratic, stable_sharpness
from shoal.theory.starvation import starved_strength

__all__ = [
    "Chain",
    "ClassFlow",
    "EarlyAlignment",
    "Features",
    "FiniteWidth",
    "Growth",
    "LinearMeanField",
    "MeanFieldHinge",
    "MeanFieldPopulation",
    "Mode",
    "NeuronDeaths",
    "OrderParameters",
    "PenalisedLinear",
    "PenalisedMode",
    "TrainedNoise",
    "death_probability",
    "decoupled_margin",
    "descend_cycle",
    "descend_mode",
    "descend_quadratic",
    "early_alignment",
    "exponential_weight",
    "failure_probability",
    "kernel_descent",
    "kernel_flow",
    "learning_time",
    "linear_finite_width",
    "linear_mean_field",
    "linear_mode",
    "penalised_linear",
    "power_mode",
    "separable_growth",
    "separated_deaths",
    "separated_margins",
    "separator",
    "stable_sharpness",
    "starved_strength",
    "wide_kernel",
]


def __getattr__(name: str) -> Any:
    former.refuse_name("shoal.theory", name)
    raise AttributeError(f"module 'shoal.theory' has no attribute {name!r}")
