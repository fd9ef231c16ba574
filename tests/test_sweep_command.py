"""`shoal sweep`: what it says, what it logs, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import shoal
from shoal.cli import app
from shoal.sweep import command
from test_sweep import GRID, RAW, RECORDS, REDUCED, assert_same, swept

HEAD = """
networks = 700
block = 256
network = {widths = [2, 4, 1]}
task = {kind = "modes", norms = [1.7, 0.9]}
init = {kind = "gaussian", std = 0.5}
method = {kind = "gradient_descent", learning_rate = 0.1, steps = 20}
over = {"init.std" = [0.1, 0.4], "network.width" = [2, 5]}
"""
REDUCE = 'reduce = {covariance = [["loss", "error"]], events = ["loss > 0.5"], distribution = ["loss"]}'
TEXTS = {
    "RAW": f"{HEAD}[record]\nsteps = [0, 5, 20]\n",
    "REDUCED": f"{HEAD}[record]\nsteps = [0, 5, 20]\n{REDUCE}\n",
}
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.toml"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of the test, where stores begin."""
    monkeypatch.chdir(tmp_path)


def run(*words: Any) -> Any:
    """Return what the command does with these words."""
    return CliRunner().invoke(app, ["sweep", *map(str, words)])


def written(folder: Path, record: str = "REDUCED") -> Path:
    """Return the file of the small sweep of GRID."""
    file = folder / "grid.toml"
    file.write_text(TEXTS[record])
    return file


def lines(log: Path) -> list[dict[str, Any]]:
    """Return the objects of a log."""
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize("record", ["RAW", "REDUCED"])
def test_the_command_does_what_the_call_does(tmp_path: Path, record: str) -> None:
    """Either goes on with the store of the other."""
    kept = RAW if record == "RAW" else REDUCED
    done = run(written(tmp_path, record), "--threads", 1)
    assert done.exit_code == 0, done.output
    assert "Finished: 2,800 of 2,800 networks, " in done.output
    told: list[int] = []
    data = swept(tmp_path / "grid.zarr", kept, over=GRID, progress=lambda done, total: told.append(done))
    assert told == [56_000]
    assert_same(swept(tmp_path / "call", kept, over=GRID), data)
    again = run(written(tmp_path, record), "--store", tmp_path / "call")
    assert again.exit_code == 0
    assert "holds all 2,800 networks" in again.output
    assert "Finished before" in again.output


@RECORDS
def test_the_log(tmp_path: Path, record: shoal.Record) -> None:
    """A line a block, whose counts are those of the store; of a second call nothing, since it does nothing."""
    file = written(tmp_path, "RAW" if record is RAW else "REDUCED")
    log = tmp_path / "log.jsonl"
    assert run(file, "--log", log).exit_code == 0
    told = lines(log)
    data = shoal.open_sweep(tmp_path / "grid.zarr")
    blocks = 3
    assert len(told) == 4 * blocks
    assert [(one["begin"], one["end"]) for one in told[:blocks]] == [(0, 256), (256, 512), (512, 700)]
    assert [one["block"] for one in told] == [0, 1, 2] * 4
    assert told[blocks]["condition"] == {"init.std": 0.1, "network.width": 5}
    assert all(sum(one["statuses"].values()) == one["end"] - one["begin"] for one in told)
    assert all(one["networks_per_second"] == pytest.approx((one["end"] - one["begin"]) / one["seconds"], rel=1e-2)
               for one in told)  # fmt: skip
    if record is REDUCED:
        for i in range(4):
            met = sum(one["events"]["loss > 0.5"] for one in told[blocks * i : blocks * (i + 1)])
            assert met == data.event_count.values.reshape(4, 3)[i, -1]
        assert 0 < sum(one["events"]["loss > 0.5"] for one in told) < 2800
    before = log.read_bytes()
    assert run(file, "--log", log).exit_code == 0
    assert log.read_bytes() == before


def test_networks_that_diverge_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the log, on the lines now and then, and when a later call goes on: those of blocks that were there, too."""
    file = written(tmp_path)
    for old, new in (
        ("learning_rate = 0.1", "learning_rate = 1.0"),
        ("[2, 4, 1]", '[2, 4, 1], activation = "linear"'),
        ("[0.1, 0.4]", "[0.1, 1.0]"),
        ("networks = 700", 'networks = 700\nloss = "squared"'),
    ):
        assert file.read_text().count(old) == 1
        file.write_text(file.read_text().replace(old, new))
    monkeypatch.setattr(command, "EVERY", 0.0)
    done = run(file, "--log", tmp_path / "log")
    diverged = sum(one["statuses"]["diverged"] for one in lines(tmp_path / "log"))
    assert 0 < diverged < 2800
    assert diverged == int(shoal.open_sweep(tmp_path / "grid.zarr").diverged.sum())
    shown = [line for line in done.output.splitlines() if "left" in line]
    assert shown
    assert all(" of 2,800 networks" in line and ", diverged " in line and ", loss > 0.5: " in line for line in shown)
    assert f", diverged {diverged:,}," in done.output.splitlines()[-1]
    (tmp_path / "grid.zarr" / "done" / "c.1.0.2").unlink()
    for chunk in ("sum_loss", "count_status", "count_event_0"):  # of which nothing is read before it is made anew
        held = list((tmp_path / "grid.zarr" / chunk).glob("c.1.0.2*"))
        assert held
        for path in held:
            path.write_bytes(b"rubbish")
    again = run(file)
    assert again.exit_code == 0, again.output
    assert f", diverged {diverged:,}," in again.output.splitlines()[-1]


def test_the_store_begins_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not beside the file, which may lie where nothing can be written; the last line says where."""
    for name in ("files", "work"):
        (tmp_path / name).mkdir()
    file = written(tmp_path / "files")
    monkeypatch.chdir(tmp_path / "work")
    done = run(Path("..") / "files" / file.name)
    assert done.exit_code == 0, done.output
    assert f"in {tmp_path / 'work' / 'grid.zarr'}" in done.output
    assert [one.name for one in (tmp_path / "work").iterdir()] == ["grid.zarr"]
    assert [one.name for one in (tmp_path / "files").iterdir()] == ["grid.toml"]


def test_quiet_says_nothing(tmp_path: Path) -> None:
    """But of errors."""
    assert run(written(tmp_path), "--quiet").output == ""
    assert "holds another sweep" in run(written(tmp_path, "RAW"), "--quiet").output


def test_on_a_terminal_one_line_is_drawn_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With networks a second, time left and failures; it is drawn ten times a second, while the sweep takes longer."""
    monkeypatch.setattr(command, "Console", lambda **told: Console(**told, force_terminal=True, width=200))
    file = written(tmp_path)
    file.write_text(file.read_text().replace("steps = 20}", "steps = 20000}"))
    done = run(file)
    assert done.exit_code == 0, done.output
    for words in ("networks/s", "left", "diverged 0", "loss > 0.5: "):
        assert words in done.output


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("networks = 3", [], "network is missing"),
        (TEXTS["RAW"].replace("_rate = 0.1", "_rate = -1"), [], "method.learning_rate must be positive, got -1.0"),
        (TEXTS["RAW"].replace("std = 0.5", "std = 0.5, gian = 3"), [], "init.gian is not known here; allowed: s"),
        (TEXTS["RAW"].replace("init.std", "init.sdt"), [], "over must name what can be swept here"),
        (TEXTS["RAW"].replace("700", "0"), [], "networks must be between 1"),
        (TEXTS["RAW"].replace("block = 256", "block = 300"), [], "networks times a power of two, got 300"),
        (TEXTS["RAW"].replace("block = 256", "threads = 0"), [], "threads must be between 1"),
        (TEXTS["RAW"], ["--store", "grid.toml"], "store must be a folder that sweep made, or a new one, got the file"),
        (TEXTS["RAW"], ["--store", "none/s.zarr"], "store must lie in a folder that exists"),
        (TEXTS["RAW"], ["--log", "none/log"], "--log must lie in a folder that exists, got none/log"),
        (TEXTS["RAW"], ["--log", "."], "--log must be a file, got the folder"),
        (TEXTS["RAW"], ["--threads", "0"], "--threads"),
        ("networks 3", [], "not a TOML file: "),
        (None, [], "No such file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, words: list[str], message: str
) -> None:
    """With exit status 2."""
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("grid.toml").write_text(text)
    before = sorted(tmp_path.iterdir())
    done = run("grid.toml", *words)
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert sorted(tmp_path.iterdir()) == before


def test_a_store_in_use(tmp_path: Path) -> None:
    """The error is that of the call."""
    from shoal.sweep import disk

    with disk.locked(tmp_path / "grid.zarr"):
        done = run(written(tmp_path))
    assert done.exit_code == 1
    assert f"is in use by process {os.getpid()}" in done.output


CHILD = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background commands ignore
from shoal.sweep import command
from shoal.cli import app
add = command.Tally.add
def told(self, block, outcome):
    add(self, block, outcome)
    if self.networks == 956:
        print("here", flush=True)
        sys.stdin.readline()
command.Tally.add = told
app()
"""


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    """In one line, with exit status 130; that command then ends with the bits of one that nothing stopped."""
    file, log = written(tmp_path), tmp_path / "log.jsonl"
    words = ["sweep", str(file), "--threads", "1", "--log", str(log)]
    path = os.pathsep.join(part for part in sys.path if part)
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n"
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, said
    store = tmp_path / "grid.zarr"
    expected = f"Stopped: 956 of 2,800 networks are kept in {store}. To resume: shoal {' '.join(words)}\n"
    assert said == expected
    kept = len(lines(log))
    assert run(*words[1:]).exit_code == 0
    assert 3 <= kept <= 4  # the line of the block that was written when it was stopped may be missing
    assert len(lines(log)) == kept + 12 - 4
    assert_same(swept(tmp_path / "whole", over=GRID), shoal.open_sweep(store))


def test_a_line_that_was_cut_short_stands_by_itself(tmp_path: Path) -> None:
    """As by a disk that was full."""
    log = tmp_path / "log"
    log.write_text('{"block": 1}\n{"blo')
    with command.logged(log) as write:
        write({"block": 2})
    assert log.read_text().splitlines() == ['{"block": 1}', '{"blo', '{"block": 2}']


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_run(tmp_path: Path, example: Path) -> None:
    """With few networks; nothing else of them is changed."""
    text = example.read_text()
    assert text.count("networks = 100_000") == 1
    (tmp_path / example.name).write_text(text.replace("networks = 100_000", "networks = 300"))
    done = run(tmp_path / example.name)
    assert done.exit_code == 0, done.output
    data = shoal.open_sweep(tmp_path / example.with_suffix(".zarr").name)
    assert data.attrs["complete"] == 1
    assert np.isfinite(data.loss.sel(statistic="mean").values).all()


def test_there_are_examples() -> None:
    """The folder has not moved away from the test."""
    assert EXAMPLES
