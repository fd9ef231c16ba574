"""What is shipped: the sdist holds Eigen and git does not, and the wheel is the same from either."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import shoal
from shoal import _core

ROOT = Path(__file__).parent.parent
EIGEN_LICENCES = {f"COPYING.{name}" for name in ("APACHE", "BSD", "MINPACK", "MPL2", "README")}


def run(*command: str | Path, at: Path = ROOT) -> str:
    words = [str(part) for part in command]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SKBUILD_")}
    done = subprocess.run(words, cwd=at, env=clean, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def tracked() -> list[str]:
    return [name for name in run("git", "ls-files", "-z", "-co", "--exclude-standard").split("\0") if name]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what a fresh clone of this checkout would hold, and nothing that git ignores."""
    folder = tmp_path_factory.mktemp("clone") / "shoal"
    for name in tracked():
        source = ROOT / name
        if source.exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(source.read_bytes())
    return folder


@pytest.fixture(scope="module")
def sdist(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--sdist", "--outdir", out, at=clone)
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope="module")
def wheels(clone: Path, sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the wheel built from a clone and the one built from the sdist, in folders of different names."""
    from_git, from_sdist = (tmp_path_factory.mktemp(f"wheel_from_{source}") for source in ("git", "sdist"))
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    shutil.rmtree(clone / "third_party")  # where the sdist's build put Eigen, which a clone lacks
    strict = ("-C", "cmake.define.SHOAL_WERROR=ON")  # warnings fail here, and change no byte
    run(sys.executable, "-m", "build", "--wheel", *strict, "--outdir", from_git, at=clone)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", from_sdist, at=source)
    return next(from_git.iterdir()), next(from_sdist.iterdir())


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.checkout
def test_git_holds_no_eigen_and_no_binary():
    names = run("git", "ls-files", "-z").split("\0")
    assert "cpp/bindings/module.cpp" in names
    assert not [name for name in names if name.startswith("third_party/") or "Eigen/" in name]
    assert not [name for name in names if name.endswith((".so", ".pyd", ".dylib", ".whl", ".tar.gz"))]
    assert run("git", "check-ignore", "third_party/eigen/Eigen/Core").strip() == "third_party/eigen/Eigen/Core"


@pytest.mark.checkout
def test_the_sdist_holds_eigen_and_all_that_git_holds(clone, sdist):
    with tarfile.open(sdist) as archive:
        top = {name.split("/", 1)[0] for name in archive.getnames()}
        assert top == {f"shoal-{shoal.__version__}"}
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
        version = archive.extractfile(f"shoal-{shoal.__version__}/third_party/eigen/Eigen/Version")
        assert version is not None
        assert b'EIGEN_VERSION_STRING "5.0.1"' in version.read()
    assert {f"third_party/eigen/{name}" for name in EIGEN_LICENCES | {"Eigen/Core", "Eigen/src/Core/Matrix.h"}} <= names
    in_git = {path.relative_to(clone).as_posix() for path in clone.rglob("*") if path.is_file()}
    in_git = {name for name in in_git if not name.startswith((".ci/", "third_party/")) and name != ".gitignore"}
    ours = {name for name in names if not name.startswith("third_party/")}
    assert ours == in_git | {"PKG-INFO"}


@pytest.mark.checkout
@pytest.mark.slow
def test_the_wheel_from_the_sdist_is_the_wheel_from_git(wheels):
    from_git, from_sdist = map(contents, wheels)
    assert from_git.keys() == from_sdist.keys()
    assert [name for name in from_git if from_git[name] != from_sdist[name]] == []
    assert wheels[0].name == wheels[1].name


@pytest.mark.checkout
@pytest.mark.slow
def test_the_wheel_holds_modules_types_and_licences_and_no_sources(wheels):
    held = contents(wheels[0])
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    modules = {name for name in held if name.endswith(suffix)}
    assert modules == {f"shoal/_core/_{isa}{suffix}" for isa in _core.choice.built}
    info = f"shoal-{shoal.__version__}.dist-info"
    assert {"shoal/py.typed", "shoal/_core/_kernel.pyi", f"{info}/licenses/LICENSE"} <= held.keys()
    assert {f"{info}/licenses/third_party/eigen/{name}" for name in EIGEN_LICENCES} <= held.keys()
    package = {name for name in held if not name.startswith(f"{info}/")} - modules
    assert all(re.fullmatch(r"shoal/[\w/]+\.(py|pyi|typed|css|html|bib)", name) for name in package), package
    sources = {path.relative_to(ROOT / "python").as_posix() for path in (ROOT / "python").rglob("*.py")}
    assert sources <= package
    assert b"shoal = shoal.cli:app" in held[f"{info}/entry_points.txt"]
    needs = [line for line in held[f"{info}/METADATA"].decode().splitlines() if line.startswith("Requires-Dist:")]
    assert any("numpy" in line for line in needs)
    assert not any("eigen" in line for line in needs)
    for name in modules:
        assert b"/tmp/" not in held[name]
        assert str(Path.home()).encode() not in held[name]


@pytest.mark.parametrize("isa", _core.choice.built)
def test_each_module_exports_its_init_function_only(isa):
    spec = importlib.util.find_spec(f"shoal._core._{isa}")
    assert spec is not None
    assert spec.origin is not None
    lines = run("nm", "-gU" if sys.platform == "darwin" else "-gD", *defined_only(), spec.origin).splitlines()
    assert [line.split()[-1].lstrip("_") for line in lines] == [f"PyInit__{isa}"]


def defined_only() -> list[str]:
    return [] if sys.platform == "darwin" else ["--defined-only"]
