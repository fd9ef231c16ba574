"""Gradient flow, `shoal.GradientFlow` against diffrax, at equal accuracy reached: ``python -m benchmarks flow``."""
