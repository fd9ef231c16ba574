"""Gradient flow, `shoal.Flow` against diffrax, at equal accuracy reached: ``python -m benchmarks flow``."""
