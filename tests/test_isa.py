"""The instruction set is the best of the CPU, or the one asked for, or a clear error."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

import shoal
from shoal import _core
from shoal._core.choose import ISA_FEATURES, choose
from support import python

X86 = ("baseline", "avx2", "avx512")
HASWELL = {"avx2", "fma"}
SKYLAKE = {"avx2", "fma", "avx512f", "avx512dq", "avx512vl", "avx512bw"}
PRINT_ISA = "import shoal; print(shoal.info().isa, shoal._core.isa)"
# The real package on a CPU that claims less than it has: the plainest module is loaded first, and its answer cut down.
LACKING = """
import importlib.util, pathlib, sys
folder = pathlib.Path(importlib.util.find_spec("shoal").origin).parent / "_core"
name = next(name for name in ("baseline", "neon") if list(folder.glob(f"_{name}.*")))
path = next(folder.glob(f"_{name}.*"))
spec = importlib.util.spec_from_file_location(f"shoal._core._{name}", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.cpu_features = lambda: ["avx2"]
sys.modules[spec.name] = module
import shoal
print(shoal.info().isa, shoal.info().supported)
"""


def forced(isa: str, code: str = PRINT_ISA) -> subprocess.CompletedProcess[str]:
    return python(["-c", code], {"SHOAL_ISA": isa})


@pytest.mark.parametrize(
    ("features", "best"), [(set(), "baseline"), ({"avx2"}, "baseline"), (HASWELL, "avx2"), (SKYLAKE, "avx512")]
)
def test_the_best_that_the_cpu_has_is_chosen(features, best):
    assert choose("", X86, features).isa == best


def test_one_missing_feature_rules_a_set_out():
    for missing in SKYLAKE - HASWELL:
        assert choose("", X86, SKYLAKE - {missing}).isa == "avx2"


def test_what_is_not_built_is_not_chosen():
    assert choose("", ("baseline", "avx2"), SKYLAKE).isa == "avx2"
    assert choose("", ("neon",), ()).isa == "neon"


def test_case_and_blanks_do_not_matter():
    assert choose(" AVX2 ", X86, SKYLAKE).isa == "avx2"
    assert choose("  ", X86, SKYLAKE).isa == "avx512"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("sse9", "SHOAL_ISA='sse9' is not an instruction set that shoal knows; allowed here: baseline, avx2"),
        ("neon", "SHOAL_ISA='neon' is not built into this shoal; allowed here: baseline, avx2"),
        (
            "avx512",
            "SHOAL_ISA='avx512' needs what this CPU lacks (avx512bw, avx512dq, avx512f, avx512vl); "
            "allowed here: baseline, avx2",
        ),
    ],
)
def test_what_cannot_run_is_refused_by_name(wanted, message):
    with pytest.raises(ImportError, match=f"^{re.escape(message)}$"):
        choose(wanted, X86, HASWELL)


def test_an_installation_without_modules_says_so():
    with pytest.raises(ImportError, match="compiled core is missing"):
        choose("", (), ())


@pytest.mark.parametrize("isa", _core.choice.supported)
def test_each_supported_set_can_be_forced(isa):
    done = forced(isa.upper())
    assert done.stdout.split() == [isa, isa], done.stderr


@pytest.mark.parametrize("isa", [*(isa for isa in ISA_FEATURES if isa not in _core.choice.supported), "fast"])
def test_each_other_set_is_an_import_error(isa):
    done = forced(isa, "import shoal._core")
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode != 0
    assert last.startswith(f"ImportError: SHOAL_ISA='{isa}' ")
    assert last.endswith(f"allowed here: {', '.join(_core.choice.supported)}")


def test_a_cpu_that_lacks_fma_gets_the_plainest_and_refuses_the_rest():
    plainest, *others = _core.choice.built
    done = forced("", LACKING)
    assert done.stdout.split(maxsplit=1) == [plainest, f"('{plainest}',)\n"], done.stderr
    for isa in others:
        done = forced(isa, LACKING)
        assert f"ImportError: SHOAL_ISA='{isa}' needs what this CPU lacks (" in done.stderr
        assert f"allowed here: {plainest}" in done.stderr


def test_theory_and_specifications_need_no_core():
    code = "import shoal, shoal.theory; shoal.Network((2, 3, 1)); import sys; print('shoal._core' in sys.modules)"
    done = forced("sse9", code)
    assert done.stdout.strip() == "False", done.stderr


def test_wider_sets_have_more_lanes():
    per_set = {isa: _core.load(isa).lanes("float64") for isa in _core.choice.supported}
    known = {"baseline": 2, "neon": 2, "avx2": 4, "avx512": 8}
    assert per_set == {isa: known[isa] for isa in per_set}
    assert all(_core.load(isa).lanes("float32") == 2 * lanes for isa, lanes in per_set.items())


def test_info_tells_what_runs():
    here = shoal.info()
    assert here.version == shoal.__version__
    assert here.isa == _core.isa == _core.choice.isa
    assert here.reason in ("the best of this CPU", f"SHOAL_ISA={here.isa}")
    assert set(here.supported) <= set(here.built)
    assert here.lanes == {dtype: _core.lanes(dtype) for dtype in ("float64", "float32")}
    assert here.threads >= 1
    assert here.eigen == "5.0.1"
    assert re.match(r"(GNU|Clang|AppleClang) \d+\.", here.compiler)
    assert [line.split()[0] for line in str(here).splitlines()] == list(here.__dataclass_fields__)


def test_info_honours_the_thread_variable():
    done = python(["-c", "import shoal; print(shoal.info().threads)"], {"SHOAL_NUM_THREADS": "3"})
    assert done.stdout.strip() == "3", done.stderr


@pytest.mark.parametrize("isa", _core.choice.supported)
def test_the_stub_states_what_the_module_holds(isa):
    module = import_module(f"shoal._core._{isa}")
    stub = ast.parse(Path(inspect.getfile(_core)).with_name("_kernel.pyi").read_text())
    attributes = {node.target.id for node in stub.body if isinstance(node, ast.AnnAssign)}
    functions = {node.name: node for node in stub.body if isinstance(node, ast.FunctionDef)}
    public = {name for name in vars(module) if not name.startswith("_")}
    assert public == attributes | set(functions)
    for name, node in functions.items():
        arguments = [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
        first_line = getattr(module, name).__doc__.splitlines()[0]
        assert re.findall(r"(\w+): ", first_line) == arguments, name
