"""One wide network, which shoal trains alone, against torch: ``python -m benchmarks wide``."""
