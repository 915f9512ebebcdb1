"""A model folder is made ready for training: what goes, what stays, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autoseg.errors import OptionError
from autoseg.files import read_json
from autoseg.inference.model_files import finished_folds
from autoseg.labels import read_labels_entry
from autoseg.plans import Plans
from autoseg.training.options import TrainingOptions
from autoseg.workspace import Workspace
from trainers.job import Job

FOLDS = ("0", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cascade__plans__3d_cascade"


@pytest.fixture
def plans(folder: Path, write_model: Callable[..., Plans]) -> Plans:
    """Of a finished cascade of two folds in the folder, begun as a training begins."""
    plans = write_model(folder, configuration="3d_cascade", folds=FOLDS)
    (folder / "plans.json").unlink()
    job(folder, plans).begin()
    (folder / "stages" / "3d_lowres" / "rest_of_0_1").mkdir()
    return plans


def job(folder: Path, plans: Plans, **options: Any) -> Job:
    description = read_json(folder / "dataset.json")
    dataset: Any = SimpleNamespace(
        name="Dataset001_X",
        folder=folder.parent / "raw",
        labels=read_labels_entry(description, folder / "dataset.json"),
        channel_names=("CT",),
        description=description,
        cases=(),
    )
    made = Job(Workspace(folder.parent), dataset, plans, "3d_cascade", folder, TrainingOptions(**options))  # type: ignore[arg-type]
    vars(made)["folds"] = (object(), object())
    return made


def with_other_patch(plans: Plans) -> Plans:
    stages = {name: replace(stage, patch_size=(8, 8, 8)) for name, stage in plans.stages.items()}
    return replace(plans, stages=stages)


def test_without_restart_everything_stays(folder: Path, plans: Plans) -> None:
    job(folder, plans).begin()
    assert finished_folds(folder) == finished_folds(folder / "stages" / "3d_lowres") == [*FOLDS]


def test_restart_clears_the_folds_that_are_asked_for_in_every_stage(folder: Path, plans: Plans) -> None:
    job(folder, plans, folds=("0",), restart=True).begin()
    assert finished_folds(folder) == finished_folds(folder / "stages" / "3d_lowres") == ["1"]
    assert not (folder / "stages" / "3d_lowres" / "rest_of_0_1").exists()


def test_restart_of_one_fold_with_other_plans_is_refused_and_loses_nothing(folder: Path, plans: Plans) -> None:
    before = (folder / "plans.json").read_bytes()
    with pytest.raises(OptionError, match=r"also holds fold 1.*--restart --folds 0 1"):
        job(folder, with_other_patch(plans), folds=("0",), restart=True).begin()
    assert (folder / "plans.json").read_bytes() == before
    assert finished_folds(folder) == [*FOLDS]


def test_restart_of_all_folds_with_other_plans_leaves_no_network_of_the_earlier_ones(
    folder: Path, plans: Plans
) -> None:
    job(folder, with_other_patch(plans), folds=FOLDS, restart=True).begin()
    assert not list(folder.rglob("*.safetensors"))
    job(folder, with_other_patch(plans)).begin()


def test_how_long_and_why_may_be_planned_anew(folder: Path, plans: Plans) -> None:
    longer = {
        name: replace(stage, training=replace(stage.training, budget_seconds=9.0))
        for name, stage in plans.stages.items()
    }
    job(folder, replace(plans, stages=longer, fingerprint="1" * 64)).begin()
