"""Which instruction set to run on: the best that is built and that the CPU has, or the one that SHOAL_ISA names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

# From the plainest to the fastest, each with the CPU features that its compiler flags need (cmake/isa.cmake).
ISA_FEATURES: dict[str, frozenset[str]] = {
    "baseline": frozenset(),
    "neon": frozenset(),
    "avx2": frozenset({"avx2", "fma"}),
    "avx512": frozenset({"avx2", "fma", "avx512f", "avx512dq", "avx512vl", "avx512bw"}),
}


@dataclass(frozen=True)
class Choice:
    """The instruction set in use, the reason, and those that are built and supported (plainest first)."""

    isa: str
    reason: str
    built: tuple[str, ...]
    supported: tuple[str, ...]


def choose(wanted: str, built: Collection[str], features: Collection[str]) -> Choice:
    """Return the instruction set to run on, or raise an ImportError if it is not available.

    ``wanted`` is SHOAL_ISA, in upper or lower case; blank stands for the best of those ``built`` that the CPU supports.
    ``features`` are those that CPU and operating system support, as the compiled modules' ``cpu_features`` names them.
    """
    ordered = tuple(isa for isa in ISA_FEATURES if isa in built)
    supported = tuple(isa for isa in ordered if ISA_FEATURES[isa] <= set(features))
    if not supported:
        raise ImportError("shoal's compiled core is missing: install shoal with pip, or build it in place")
    isa = wanted.strip().lower()
    if not isa:
        return Choice(supported[-1], "the best of this CPU", ordered, supported)
    if isa in supported:
        return Choice(isa, f"SHOAL_ISA={wanted}", ordered, supported)
    if isa not in ISA_FEATURES:
        trouble = "is not an instruction set that shoal knows"
    elif isa not in ordered:
        trouble = "is not built into this shoal"
    else:
        trouble = f"needs what this CPU lacks ({', '.join(sorted(ISA_FEATURES[isa] - set(features)))})"
    raise ImportError(f"SHOAL_ISA={wanted!r} {trouble}; allowed here: {', '.join(supported)}")
