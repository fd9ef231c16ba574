"""A dataset says how it was made, also after it was saved: training again gives the same bits."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import shoal
from support import ALL_MEASURES, MEASURES, random_init, random_task, same_bits


def runs(generator: np.random.Generator) -> dict[str, dict[str, Any]]:
    one = shoal.Network((3, 4, 1))
    biased = shoal.Network((3, 4, 3), "leaky_relu", 0.2, bias=True)
    return {
        "gaussian": {
            "network": one,
            "task": random_task(5, 3, 1, generator),
            "init": shoal.Gaussian(gain=1.3),
            "loss": shoal.Hinge(0.7),
            "record": shoal.Record(times=[0, 0.1, 1 / 3], measure=ALL_MEASURES),
            "networks": 6,
            "seed": 2**64 - 1,
            "first_network": 5,
        },
        "separated": {
            "network": one,
            "task": shoal.tasks.modes((1.7, 0.9), (1, 3), dimension=3),
            "init": shoal.Separated(0.1, 0.3),
            "loss": "exponential",
            "networks": 6,
        },
        "unit": {
            "network": shoal.Network((3, 4, 1)),
            "task": random_task(5, 3, 1, generator),
            "init": shoal.Symmetric(shoal.Unit((0.1, 0.1, 1 / 3, 1 / 3), 0.7)),
            "networks": 6,
        },
        "explicit": {
            "network": biased,
            "task": random_task(5, 3, 3, generator),
            "init": random_init(biased, 6, generator),
            "record": shoal.Record(steps=[0, 2], measure=("weights", "margin")),
            "dtype": "float32",
        },
        "penalties and test samples": {
            "network": shoal.Network((3, 4, 1), "tanh", bias=True),
            "task": shoal.Task(
                np.eye(3), [1, -1, 1], [3, 2, 1], test=(generator.standard_normal((5, 3)), [1, -1] * 2 + [1])
            ),
            "init": shoal.Gaussian(0.3),
            "record": shoal.Record(steps=[0, 2, 12], measure=MEASURES),
            "networks": 6,
            "weight_decay": 0.01,
            "spectral_decoupling": 1 / 3,
        },
        "parametrised": {
            "network": shoal.Network((3, 4, 1), scales=(1 / 3, 2), rates=(0.7, 3), centred=True),
            "task": random_task(5, 3, 1, generator),
            "init": shoal.Balanced(0.9),
            "record": shoal.Record(steps=[0, 2, 12], measure=ALL_MEASURES),
            "networks": 6,
        },
        "moments": {
            "network": one,
            "task": random_task(5, 3, 1, generator),
            "init": shoal.Balanced(0.2),
            "record": shoal.Record(measure=("loss", "margin"), reduce="moments"),
            "networks": 20,
        },
        "statistics": {
            "network": one,
            "task": random_task(5, 3, 1, generator),
            "init": shoal.Gaussian(1.0),
            "record": shoal.Record(
                measure=("loss", "error", "margin"),
                reduce=shoal.Statistics(
                    covariance=(("loss", "error"),),
                    events=("error > 0", "loss <= 0.1"),
                    distribution=("loss", "margin"),
                    resolution=1,
                ),
            ),
            "networks": 300,
        },
        "explicit moments": {
            "network": biased,
            "task": random_task(5, 3, 3, generator),
            "init": random_init(biased, 6, generator),
            "record": shoal.Record(measure=("loss", "margin"), reduce="moments"),
        },
    }


def in_memory(data: xarray.Dataset, _: Path) -> xarray.Dataset:
    return data


def through_netcdf(data: xarray.Dataset, folder: Path) -> xarray.Dataset:
    data.to_netcdf(folder / "run.nc", engine="scipy")
    return xarray.open_dataset(folder / "run.nc", engine="scipy")


def through_zarr(data: xarray.Dataset, folder: Path) -> xarray.Dataset:
    data.to_zarr(folder / "run.zarr", consolidated=False)
    opened: xarray.Dataset = xarray.open_zarr(folder / "run.zarr", consolidated=False)
    return opened


@pytest.mark.parametrize("kept", [in_memory, through_netcdf, through_zarr])
@pytest.mark.parametrize(
    "name",
    [
        *("gaussian", "separated", "explicit", "penalties and test samples", "parametrised"),
        *("moments", "statistics", "explicit moments"),
    ],
)
def test_a_kept_run_repeats_bit_for_bit(
    name: str,
    kept: Callable[[xarray.Dataset, Path], xarray.Dataset],
    generator: np.random.Generator,
    tmp_path: Path,
) -> None:
    data = shoal.train(**runs(generator)[name], method=shoal.GradientDescent(1 / 30, 12))
    with kept(data, tmp_path) as opened:
        again = shoal.train(shoal.specification(opened))
        xarray.testing.assert_identical(again, data)
    same_bits(again, data)


@pytest.mark.parametrize("name", ["gaussian", "explicit", "penalties and test samples", "statistics"])
def test_a_specification_is_the_training_itself(name: str, generator: np.random.Generator) -> None:
    training = shoal.Training(**runs(generator)[name], method=shoal.GradientDescent(1 / 30, 12))
    data = shoal.train(training, threads=2)
    assert shoal.specification(data) == training
    assert hash(shoal.specification(data)) == hash(training)
    assert shoal.specification(data) != dataclasses.replace(training, seed=3)
    assert pickle.loads(pickle.dumps(training)) == training


def test_a_training_and_its_fields_train_the_same_and_are_not_given_together(generator: np.random.Generator) -> None:
    fields = {**runs(generator)["gaussian"], "method": shoal.GradientDescent(1 / 30, 12)}
    training = shoal.Training(**fields)
    same_bits(shoal.train(training), shoal.train(**fields))
    with pytest.raises(TypeError, match=r"training must be alone, got seed with it: use dataclasses.replace"):
        shoal.train(training, seed=3)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'init'"):
        shoal.train(fields["network"], fields["task"], method=fields["method"])
    with pytest.raises(TypeError, match="unexpected keyword argument 'sead'"):
        shoal.train(**fields, sead=3)


def test_train_and_sweep_show_the_fields_of_a_training() -> None:
    fields = list(inspect.signature(shoal.Training).parameters)
    assert list(inspect.signature(shoal.train).parameters) == [*fields, "threads", "progress"]
    assert set(fields) < set(inspect.signature(shoal.sweep).parameters)


@pytest.mark.parametrize("reduce", [None, "moments"])
def test_a_part_of_the_samples_is_not_taken_for_the_task(reduce: str | None, generator: np.random.Generator) -> None:
    arguments = {**runs(generator)["gaussian"], "record": shoal.Record(measure=("loss", "margin"), reduce=reduce)}
    data = shoal.train(**arguments, method=shoal.GradientDescent(1 / 30, 12))
    for part in (data.isel(sample=[0]), data.isel(sample=slice(0, 4)), data.isel(sample=0)):
        with pytest.raises(ValueError, match=r"data must hold the 5 samples of its specification, got [14]"):
            shoal.specification(part)


def test_what_is_kept_of_networks_is_told(generator: np.random.Generator, tmp_path: Path) -> None:
    arguments = {**runs(generator)["statistics"], "method": shoal.GradientDescent(0.3, 12, stop=("fitted", "dead"))}
    data = shoal.train(**arguments)
    with through_zarr(data, tmp_path) as opened:
        told = shoal.specification(opened)
        assert told.record == arguments["record"]
        again = shoal.train(told)
        xarray.testing.assert_identical(again, opened.load())
    same_bits(again, data)


def test_penalties_and_test_samples_are_told(generator: np.random.Generator) -> None:
    arguments = runs(generator)["penalties and test samples"]
    data = shoal.train(**arguments, method=shoal.GradientDescent(1 / 30, 12))
    told = shoal.specification(data)
    assert (told.weight_decay, told.spectral_decoupling) == (0.01, 1 / 3)
    for one, other in zip(told.task.test, arguments["task"].test, strict=True):
        assert one.tobytes() == other.tobytes()
    with pytest.raises(ValueError, match="data must hold the 5 test samples of its specification, got 4"):
        shoal.specification(data.isel(test_sample=slice(0, 4)))
    with pytest.raises(ValueError, match="it lacks test_labels"):
        shoal.specification(data.drop_vars("test_labels"))


def test_a_part_of_the_networks_is_not_taken_for_an_explicit_start(generator: np.random.Generator) -> None:
    reduced = shoal.train(**runs(generator)["explicit moments"], method=shoal.GradientDescent(1 / 30, 12))
    with pytest.raises(ValueError, match="data must hold the 6 networks of its specification, got 2"):
        shoal.specification(reduced.isel(init_network=slice(0, 2)))


@pytest.mark.parametrize("name", ["gaussian", "explicit"])
def test_consecutive_networks_tell_of_themselves_and_others_are_refused(
    name: str, generator: np.random.Generator
) -> None:
    data = shoal.train(**runs(generator)[name], method=shoal.GradientDescent(1 / 30, 12))
    for part in (data.isel(network=[2]), data.isel(network=slice(1, 5))):
        same_bits(shoal.train(shoal.specification(part)), part)
    for part in (data.isel(network=[0, 3]), data.isel(network=slice(None, None, -1)), data.isel(network=[1, 1])):
        with pytest.raises(ValueError, match="data must hold consecutive networks, got"):
            shoal.specification(part)


@pytest.mark.parametrize("name", ["gaussian", "explicit"])
def test_datasets_joined_along_networks_tell_of_all_where_they_are_one_training(
    name: str, generator: np.random.Generator
) -> None:
    whole = shoal.train(**runs(generator)[name], method=shoal.GradientDescent(1 / 30, 12))
    parts = [whole.isel(network=slice(0, 2)), whole.isel(network=slice(2, 6))]
    trained = [shoal.train(shoal.specification(part)) for part in parts]
    joined = xarray.concat(trained, "network", data_vars="minimal")
    same_bits(shoal.train(shoal.specification(joined)), whole)
    with pytest.raises(ValueError, match="data must hold consecutive networks, got"):
        shoal.specification(xarray.concat(trained[::-1], "network", data_vars="minimal"))


def test_datasets_of_two_trainings_are_not_taken_for_one(generator: np.random.Generator) -> None:
    given = {**runs(generator)["gaussian"], "method": shoal.GradientDescent(1 / 30, 12)}
    data = shoal.train(**given)
    others = [
        {"seed": 3},
        {"method": shoal.GradientDescent(1 / 30, 12, stop="fitted")},
        {"init": shoal.Gaussian(gain=1.2)},
    ]
    for other in others:
        later = shoal.train(**{**given, **other, "first_network": 11}).drop_vars("stopped_at", errors="ignore")
        with pytest.raises(ValueError, match="data must be of one training and its own attributes"):
            shoal.specification(xarray.concat([data, later], "network", data_vars="minimal"))
    with pytest.raises(ValueError, match="data must be of one training and its own attributes"):
        shoal.specification(data.assign_attrs(shoal.train(**{**given, "seed": 3}).attrs))


def test_a_dataset_names_the_version_and_the_instruction_set_that_made_it() -> None:
    data = shoal.train(
        shoal.Network((1, 1)), shoal.Task([[1]], [1]), shoal.Gaussian(1.0), method=shoal.GradientDescent(0.1, 1)
    )
    assert data.attrs["shoal_version"] == shoal.__version__
    assert data.attrs["isa"]
