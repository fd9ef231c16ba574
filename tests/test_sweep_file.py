"""A sweep from a TOML file: what it says is what `sweep` is called with, and what is wrong is named as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shoal
from shoal.spec.encoding import canonical
from shoal.sweep.file import read
from shoal.sweep.plan import Plan

TEXT = """
networks = 700
block = 256

[network]
widths = [2, 4, 1]

[task]
kind = "modes"
norms = [1.7, 0.9]

[init]
kind = "gaussian"
std = 0.5

[method]
kind = "gradient_descent"
learning_rate = 0.1
steps = 20

[record]
steps = [0, 5, 20]
reduce = {events = ["loss > 0.5"], distribution = ["loss"], covariance = [["loss", "error"]]}
"""
MODES = 'kind = "modes"\nnorms = [1.7, 0.9]'
DEFAULTS: dict[str, Any] = {
    "loss": "cross_entropy", "weight_decay": 0.0, "spectral_decoupling": 0.0, "record": None, "seed": 0,
    "first_network": 0,
    "condense": "auto", "dtype": "float64", "over": None, "block": None,
}  # fmt: skip


def written(folder: Path, text: str) -> Path:
    """Return a file with this text."""
    file = folder / "sweep.toml"
    file.write_text(text)
    return file


def swept(text: str, folder: Path) -> str:
    """Return the specification of the sweep that a text asks for."""
    told = {name: value for name, value in read(written(folder, text)).items() if name not in ("store", "threads")}
    return canonical(Plan.of(**{**DEFAULTS, **told}).told)


def called(**changed: Any) -> str:
    """Return the specification of the same sweep as a call."""
    statistics = shoal.Statistics(covariance=(("loss", "error"),), events=("loss > 0.5",), distribution=("loss",))
    told: dict[str, Any] = {
        "network": shoal.Network((2, 4, 1)),
        "task": shoal.tasks.modes((1.7, 0.9)),
        "init": shoal.Gaussian(0.5),
        "method": shoal.GradientDescent(0.1, 20),
        "record": shoal.Record(steps=[0, 5, 20], reduce=statistics),
        "networks": 700,
        "block": 256,
    }
    return canonical(Plan.of(**{**DEFAULTS, **told, **changed}).told)


def test_the_file_is_the_call(tmp_path: Path) -> None:
    """Every table becomes the object that it describes."""
    assert swept(TEXT, tmp_path) == called()
    assert swept(TEXT, tmp_path) != called(seed=1)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ('widths = [2, 4, 1]', 'kind = "ntk"\nwidths = [2, 4, 1]', {"network": shoal.Network.ntk((2, 4, 1))}),
        ('widths = [2, 4, 1]', 'kind = "standard"\nwidths = [2, 4, 1]\nbias = true',
         {"network": shoal.Network.standard((2, 4, 1), bias=True)}),
        ('widths = [2, 4, 1]', 'kind = "mean_field"\ninputs = 2\nnodes = 4\nalpha = 2.0',
         {"network": shoal.Network.mean_field(2, 4, 2.0)}),
        ('kind = "gaussian"', 'kind = "balanced"', {"init": shoal.Balanced(0.5)}),
        ('kind = "gaussian"', 'kind = "separated"', {"init": shoal.Separated(0.5)}),
        ('kind = "gaussian"\nstd = 0.5', 'kind = "unit"\nnorm = [0.1, 0.1, 2, 2]',
         {"init": shoal.Unit((0.1, 0.1, 2.0, 2.0))}),
        ('kind = "gaussian"\nstd = 0.5', 'kind = "symmetric"\nof = {kind = "balanced", std = 0.5}',
         {"init": shoal.Symmetric(shoal.Balanced(0.5))}),
        (MODES, 'inputs = [[1, 0], [0, 2]]\nlabels = [1, -1]\nsample_weight = [3, 1]',
         {"task": shoal.Task([[1, 0], [0, 2]], [1, -1], [3, 1])}),
        (MODES, 'kind = "antipodal"\ndimension = 2', {"task": shoal.tasks.antipodal(dimension=2)}),
        ('steps = 20', 'steps = 20\nstop = ["fitted", "dead"]',
         {"method": shoal.GradientDescent(0.1, 20, stop=("fitted", "dead"))}),
        ('networks = 700', 'networks = 700\nloss = "hinge"', {"loss": "hinge"}),
        ('[record]', '[loss]\nkind = "hinge"\nthreshold = 2.0\n[record]', {"loss": shoal.Hinge(2.0)}),
        ('networks = 700', 'networks = 700\nseed = 3\nfirst_network = 512\nweight_decay = 0.1\ndtype = "float32"',
         {"seed": 3, "first_network": 512, "weight_decay": 0.1, "dtype": "float32"}),
    ],
)  # fmt: skip
def test_each_kind(tmp_path: Path, old: str, new: str, changed: Any) -> None:
    """Of every table, and the numbers outside of tables."""
    assert TEXT.count(old) == 1
    assert swept(TEXT.replace(old, new), tmp_path) == called(**changed)


@pytest.mark.parametrize(
    ("text", "over"),
    [
        ('[over]\n"init.std" = [0.1, 0.4]\n"network.width" = [2, 5]',
         {"init.std": [0.1, 0.4], "network.width": [2, 5]}),
        ("[over]\ninit.std = [0.1, 0.4]\nseed = [1, 2]", {"init.std": [0.1, 0.4], "seed": [1, 2]}),
        ('[over]\n"init.std" = {small = 0.1, large = 0.4}', {"init.std": {"small": 0.1, "large": 0.4}}),
        ('[over]\nloss = ["hinge", "squared"]', {"loss": ["hinge", "squared"]}),
        ('[over]\nloss = ["hinge", {kind = "hinge", threshold = 2.0}]', {"loss": ["hinge", shoal.Hinge(2.0)]}),
        ('[over]\ninit = [{kind = "gaussian", std = 0.1}, {kind = "balanced", std = 0.2}]',
         {"init": [shoal.Gaussian(0.1), shoal.Balanced(0.2)]}),
        ('[over.task]\neasy = {kind = "modes", norms = [1.7, 0.9]}\nhard = {kind = "modes", norms = [1.7, 0.1]}',
         {"task": {"easy": shoal.tasks.modes((1.7, 0.9)), "hard": shoal.tasks.modes((1.7, 0.1))}}),
        ('[over]\nnetwork = [{widths = [2, 3, 1]}, {kind = "ntk", widths = [2, 5, 1]}]',
         {"network": [shoal.Network((2, 3, 1)), shoal.Network.ntk((2, 5, 1))]}),
        ('[[over]]\nseed = 1\ninit.std = 0.1\n[[over]]\nseed = 2\ninit.std = 0.4',
         [{"seed": 1, "init.std": 0.1}, {"seed": 2, "init.std": 0.4}]),
        ('[[over]]\ninit = {kind = "balanced", std = 0.1}\n[[over]]\ninit = {kind = "gaussian", std = 0.4}',
         [{"init": shoal.Balanced(0.1)}, {"init": shoal.Gaussian(0.4)}]),
    ],
)  # fmt: skip
def test_what_is_swept(tmp_path: Path, text: str, over: Any) -> None:
    """Grids and lists, fields and whole objects, with labels and without."""
    assert swept(f"{TEXT}\n{text}\n", tmp_path) == called(over=over)


@pytest.mark.parametrize(
    ("text", "over"),
    [
        ("[over]\ninit.of.std = [0.1, 0.4]", {"init.of.std": [0.1, 0.4]}),
        ('[over]\n"init.of.std" = [0.1, 0.4]', {"init.of.std": [0.1, 0.4]}),
        ('[over]\ninit.of = [{kind = "gaussian", std = 0.1}, {kind = "unit", norm = 0.2}]',
         {"init.of": [shoal.Gaussian(0.1), shoal.Unit(0.2)]}),
        ("[[over]]\ninit.of.std = 0.1\n[[over]]\ninit.of.std = 0.4", [{"init.of.std": 0.1}, {"init.of.std": 0.4}]),
        ('[[over]]\ninit.of = {kind = "balanced", std = 0.1}\n[[over]]\ninit.of = {kind = "gaussian", std = 0.4}',
         [{"init.of": shoal.Balanced(0.1)}, {"init.of": shoal.Gaussian(0.4)}]),
    ],
)  # fmt: skip
def test_what_is_swept_of_a_paired_initialisation(tmp_path: Path, text: str, over: Any) -> None:
    """Fields of the initialisation in the table of another one, and that initialisation itself."""
    symmetric = TEXT.replace('kind = "gaussian"\nstd = 0.5', 'kind = "symmetric"\nof = {kind = "gaussian", std = 0.5}')
    init = shoal.Symmetric(shoal.Gaussian(0.5))
    assert swept(f"{symmetric}\n{text}\n", tmp_path) == called(init=init, over=over)


def test_tasks_and_starts_from_files(tmp_path: Path) -> None:
    """In the folder of the TOML file, whatever the folder of the process."""
    inputs, labels = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([1, -1])
    np.savez(tmp_path / "data.npz", inputs=inputs, labels=labels, test_inputs=inputs[:1], test_labels=labels[:1])
    init = shoal.Explicit([np.ones((700, 4, 2)), np.ones((700, 1, 4))])
    np.savez(tmp_path / "start.npz", weights_1=init.weights[0], weights_2=init.weights[1])
    text = TEXT.replace(MODES, 'file = "data.npz"')
    text = text.replace('kind = "gaussian"\nstd = 0.5', 'file = "start.npz"')
    task = shoal.Task(inputs, labels, test=(inputs[:1], labels[:1]))
    assert swept(text, tmp_path) == called(task=task, init=init)


def test_the_store(tmp_path: Path) -> None:
    """In the working folder, under the file's name, unless it names another: relative to its own folder."""
    assert read(written(tmp_path, TEXT))["store"] == Path("sweep.zarr")
    assert read(written(tmp_path, f'store = "../other.zarr"\n{TEXT}'))["store"] == tmp_path / ".." / "other.zarr"


@pytest.mark.parametrize(
    ("old", "new", "kind", "message"),
    [
        ("networks = 700", "networks = 700\nnetwroks = 3", ValueError, "^netwroks is not known here; allowed: netw"),
        ("networks = 700", "networks = 700\nclient = 3", ValueError, "^client is not known here"),
        ("networks = 700", "networks = 700\nengine = 'lanes'", ValueError, "^engine is no key any more: networks have"),
        ("networks = 700\n", "", ValueError, "^networks is missing$"),
        ("learning_rate = 0.1", "rates = 0.1", ValueError, "^method.rates is not known here; allowed: learning_rate"),
        ("learning_rate = 0.1", "rate = 0.1", ValueError, "^method.rate is now method.learning_rate$"),
        ("learning_rate = 0.1\n", "", ValueError, "^method.learning_rate is missing$"),
        ("_rate = 0.1", "_rate = -0.1", ValueError, r"^method.learning_rate must be positive, got -0.1$"),
        ("_rate = 0.1", '_rate = "fast"', TypeError, "^method.learning_rate must be a number, got 'fast'"),
        ("[2, 4, 1]", "[2, 0, 1]", ValueError, r"^network.widths\[1\] must be at least 1, got 0"),
        ("[2, 4, 1]", "[2, 4.5, 1]", TypeError, r"^network.widths\[1\] must be an integer, got 4.5"),
        ('kind = "gaussian"\n', "", ValueError, "^init.kind is missing; it must be one of gaussian, balanced"),
        ('"gaussian"', '"gausian"', ValueError, "^init.kind must be one of gaussian, .*, got 'gausian'"),
        ('"gaussian"', "3", TypeError, "^init.kind must be one of gaussian, .*, got 3"),
        ("std = 0.5", "std = 0.5\ngain = 1.0", ValueError, "^init: Gaussian takes either std or gain"),
        ('"modes"', '"moods"', ValueError, "^task.kind must be one of antipodal, .*, got 'moods'"),
        ("norms = [1.7, 0.9]", "norms = [1.7, -0.9]", ValueError, "^task.norms must be positive, got -0.9"),
        ('["loss > 0.5"]', '["loss ~ 0.5"]', ValueError, "^record.reduce.events must read"),
        ("reduce = {", "reduce = {evnts = [], ", ValueError, "^record.reduce.evnts is not known here; allowed: cova"),
        ("steps = [0, 5, 20]", "steps = [0, 20, 5]", ValueError, "^record.steps must increase strictly"),
        ("[network]\nwidths = [2, 4, 1]", "network = 3", TypeError, "^network must be a table, got 3$"),
        ("networks = 700", "networks = 700\nloss = 3", TypeError, "^loss must be a table"),
        ("networks = 700", 'networks = 700\nloss = "hing"', ValueError, "^loss must be one of cross_entropy"),
        ("networks = 700", "networks = 700\nstore = 3", TypeError, "^store must be the path of a folder, got 3"),
        ("networks = 700", "networks 700", ValueError, "^not a TOML file: .*line 2"),
        (MODES, 'file = "no.npz"', ValueError, "^task.file must be a .npz of NumPy, got"),
        (MODES, 'file = "sweep.toml"', ValueError, "^task.file must be a .npz of NumPy wi"),
        (MODES, 'file = "bad.npz"', ValueError, "^task.file must hold labels, got inputs"),
        (MODES, "file = 3", TypeError, "^task.file must be a path, got 3"),
        ('kind = "modes"\n', 'file = "bad.npz"\n', ValueError, "^task.norms is not known here; allowed: file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_as_it_stands(
    tmp_path: Path, old: str, new: str, kind: type[Exception], message: str
) -> None:
    """The table, the key, what came, what is allowed."""
    assert TEXT.count(old) == 1
    np.savez(tmp_path / "bad.npz", inputs=np.eye(2))
    with pytest.raises(kind, match=message):
        read(written(tmp_path, TEXT.replace(old, new)))


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("over = 3", TypeError, "^over must be a table, got 3"),
        ("over = [3]", TypeError, r"^over\[0\] must be a table, got 3"),
        ("[over]\ninit = 3", TypeError, "^over.init must be an array of tables, or a table label = table, got 3"),
        ("[over]\ninit = [3]", TypeError, r"^over.init\[0\] must be a table, got 3"),
        ('[over]\ninit = [{kind = "gaussian", std = -1}]', ValueError, r"^over.init\[0\].std must be positive"),
        ('[over.task]\n"a b" = {kind = "modes"}', ValueError, r'^over.task."a b".norms is missing'),
        ('[[over]]\ninit = {kind = "balanced"}', ValueError, r"^over\[0\].init.std is missing"),
    ],
)
def test_what_is_wrong_with_over(tmp_path: Path, text: str, kind: type[Exception], message: str) -> None:
    """By its place in the file."""
    file = written(tmp_path, f"{text}\n{TEXT}" if text.startswith("over =") else f"{TEXT}\n{text}\n")
    with pytest.raises(kind, match=message):
        read(file)
