"""Speed of shoal against what is otherwise used for the same job; run with ``python -m benchmarks``."""
