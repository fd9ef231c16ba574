"""What runs here: version, instruction set, threads, and what the core was built with."""

from __future__ import annotations

from dataclasses import dataclass, fields

from shoal.engine.threads import thread_count
from shoal.version import VERSION


@dataclass(frozen=True)
class Info:
    """What ``shoal.info()`` returns; ``str`` of it has a line for each field.

    Attributes
    ----------
    version, compiler, eigen : str
        Of shoal, of the compiler, and of Eigen in the core.
    isa, reason : str
        Instruction set in use, baseline, avx2, avx512 or neon, and why it is in use.
    built, supported : tuple of str
        Instruction sets that this installation holds, and those that this CPU can run, plainest first.
    lanes : dict
        Numbers of each dtype that one register holds. A pack is as many networks, or four times as many tiny ones.
    threads : int
        Threads that ``train`` uses by default.
    """

    version: str
    isa: str
    reason: str
    built: tuple[str, ...]
    supported: tuple[str, ...]
    lanes: dict[str, int]
    threads: int
    eigen: str
    compiler: str

    def __str__(self) -> str:
        """Return a line for each field."""
        width = max(len(field.name) for field in fields(self))
        return "\n".join(f"{field.name:<{width}}  {_shown(getattr(self, field.name))}" for field in fields(self))


def info() -> Info:
    """Return what runs here: version, instruction set and why, lanes, default threads, Eigen and compiler.

    Raises
    ------
    ImportError
        The compiled core is missing, or SHOAL_ISA names an instruction set that cannot run here.
    ValueError
        SHOAL_NUM_THREADS is not a number above zero.

    Examples
    --------
    >>> import shoal
    >>> here = shoal.info()
    >>> here.isa in here.supported, here.eigen
    (True, '5.0.1')
    """
    from shoal import _core

    return Info(
        version=VERSION,
        isa=_core.choice.isa,
        reason=_core.choice.reason,
        built=_core.choice.built,
        supported=_core.choice.supported,
        lanes={dtype: _core.lanes(dtype) for dtype in ("float64", "float32")},
        threads=thread_count(),
        eigen=_core.eigen,
        compiler=_core.compiler,
    )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, dict):
        return ", ".join(f"{count} x {name}" for name, count in value.items())
    return str(value)
