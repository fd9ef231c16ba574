"""The commands of ``python -m benchmarks``: name and module, each with a function ``main(words)``."""

MODULES = {
    "kernels": "benchmarks.kernels",
    "single": "benchmarks.single",
    "wide": "benchmarks.wide.command",
    "descent": "benchmarks.wide.descent",
    "exact": "benchmarks.exact.command",
    "costs": "benchmarks.costs",
    "flow": "benchmarks.flow.command",
    "startup": "benchmarks.startup",
    "scaling": "benchmarks.scaling",
    "sweep": "benchmarks.sweep",
    "others": "benchmarks.others.command",
}
"""Commands that measure, in the order in which ``all`` runs them and the page shows them."""

TOOLS = {"all": "benchmarks.suite", "page": "benchmarks.page"}
"""Commands that do not measure."""
