"""One wide network, `shoal.train(engine="wide")` against torch: ``python -m benchmarks wide``."""
