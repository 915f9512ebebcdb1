"""Which networks of a cascade a compression of some of its folds is made of, and which model was not compressed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autoseg.compression.report import REPORT, CompressionReport
from autoseg.data.folds import Fold
from autoseg.errors import FileError
from autoseg.files import checksum, write_json, write_text
from autoseg.inference.model_files import WEIGHTS
from autoseg.plans import Plans
from autoseg.training.options import TrainingOptions
from autoseg.workspace import Workspace
from trainers.cascade import CascadeTrainer
from trainers.job import Job
from trainers.source import job_of_source, name_beside, uncompressed
from trainers.unseen import Unseen

CASES = "abcde"


@pytest.fixture
def cascade(tmp_path: Path, write_model: Callable[..., Plans], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Job]:
    """cascade(trained, earlier, folds): the job that compresses folds of a cascade.

    trained: its finished folds; earlier: the folders of the first stage; folds: that are asked for, of five in all.
    """
    folds = tuple(Fold(tuple(CASES.replace(one, "")), (one,)) for one in CASES)
    monkeypatch.setattr("trainers.job.dataset_folds", lambda dataset, folder: folds)

    def make(trained: tuple[str, ...], earlier: tuple[str, ...], asked: tuple[str, ...]) -> Job:
        source = tmp_path / "full"
        plans = write_model(source, configuration="3d_cascade", folds=trained)
        for name in earlier:
            write_text(source / "stages" / "3d_lowres" / name / WEIGHTS, "")
        dataset: Any = SimpleNamespace(name="Dataset001_X", cases=[SimpleNamespace(id=one) for one in CASES])
        job = Job(Workspace(tmp_path), dataset, plans, "3d_cascade", tmp_path / "new", TrainingOptions(folds=asked))
        return job_of_source(source, job)

    return make


def test_one_fold_of_five_takes_two_networks_that_predict_half_of_the_rest(cascade: Callable[..., Job]) -> None:
    job = cascade(("0",), ("fold_0", "rest_of_0_half_1", "rest_of_0_half_2"), ("0",))
    unseen = Unseen(job)
    assert unseen.folder_names == ("fold_0", "rest_of_0_half_1", "rest_of_0_half_2")
    assert unseen.parts == {"rest_of_0_half_1": tuple("bd"), "rest_of_0_half_2": tuple("ce")}


def test_no_network_predicts_a_case_that_it_learned_from(cascade: Callable[..., Job]) -> None:
    job, fitted = cascade(("0",), ("fold_0", "rest_of_0_half_1", "rest_of_0_half_2"), ("0",)), {}

    def run_cases(cases: Fold, folder: Path) -> Any:
        fitted[folder.name] = cases
        return SimpleNamespace(run=lambda: None)

    training: Any = SimpleNamespace(stage=job.stages[0], folder=lambda name: Path(f"fold_{name}"), run_cases=run_cases)
    list(Unseen(job).predict(training))
    assert fitted["rest_of_0_half_1"] == Fold(tuple("ace"), tuple("bd"))
    assert fitted["rest_of_0_half_2"] == Fold(tuple("abd"), tuple("ce"))
    assert fitted["fold_0"] == job.fold("0")


def test_networks_that_an_earlier_version_trained_are_taken_where_they_are_there(
    cascade: Callable[..., Job],
) -> None:
    job = cascade(("0",), ("fold_0", "fold_1", "rest_of_0_1"), ("0",))
    assert Unseen(job).folder_names == ("fold_0", "fold_1", "rest_of_0_1")


def test_one_fold_of_a_cross_validated_cascade_takes_all_folds_of_the_earlier_stage(
    cascade: Callable[..., Job],
) -> None:
    job = cascade(("0", "1", "2", "3", "4"), (), ("2",))
    assert job.fold_names == ("2",)
    assert Unseen(job).folder_names == ("fold_0", "fold_1", "fold_2", "fold_3", "fold_4")
    assert CascadeTrainer(job).trainings()["3d_lowres"] == 5


def test_one_of_three_folds_takes_what_these_were_trained_with(cascade: Callable[..., Job]) -> None:
    job = cascade(("0", "1", "2"), ("rest_of_0_1_2",), ("1",))
    assert Unseen(job).folder_names == ("fold_0", "fold_1", "fold_2", "rest_of_0_1_2")


def test_one_of_folds_that_were_trained_apart_takes_what_it_was_trained_with(cascade: Callable[..., Job]) -> None:
    job = cascade(("0", "1", "3"), ("rest_of_0_1", "rest_of_0_3"), ("1",))
    assert Unseen(job).folder_names == ("fold_0", "fold_1", "rest_of_0_1")


def test_folds_that_no_networks_of_the_earlier_stage_fit_are_refused_at_once(cascade: Callable[..., Job]) -> None:
    with pytest.raises(FileError, match=r"rest_of_0_2.*is to be compressed\. .* one by one, --folds 0 first"):
        cascade(("0", "2"), ("fold_1", "rest_of_0_1", "rest_of_2_3"), ())


def test_a_fold_that_was_not_trained_is_refused_by_its_own_name(cascade: Callable[..., Job]) -> None:
    with pytest.raises(FileError, match=r"full/fold_1/model\.safetensors: .*give --folds that the model has"):
        cascade(("0",), ("fold_1", "rest_of_0_1"), ("1",))


def made_out_of(source: Path, model: Path) -> Path:
    """A model that was compressed, with a report and one step."""
    sums = {f"fold_0/{WEIGHTS}": checksum(source / "fold_0" / WEIGHTS)}
    report = CompressionReport("quantization", name_beside(source, model), sums, {}, "small", None, None, {}, ())
    for place in (model, model / "steps" / "small"):
        write_text(place / "fold_0" / WEIGHTS, model.name)
    write_json(model / REPORT, report)
    return model


@pytest.fixture
def full(tmp_path: Path) -> Path:
    write_text(tmp_path / "full" / "fold_0" / WEIGHTS, "full")
    return tmp_path / "full"


@pytest.fixture
def job(tmp_path: Path, write_model: Callable[..., Plans], monkeypatch: pytest.MonkeyPatch) -> Job:
    """Compresses fold 0 of some model."""
    monkeypatch.setattr("trainers.job.dataset_folds", lambda dataset, folder: (Fold(("a",), ("b",)),))
    dataset: Any = SimpleNamespace(name="Dataset001_X", cases=())
    plans = write_model(tmp_path / "plans")
    return Job(Workspace(tmp_path), dataset, plans, "3d_fullres", tmp_path / "new", TrainingOptions(folds=("0",)))


def test_the_uncompressed_model_is_found_through_all_compressions(
    full: Path, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    pruned = made_out_of(full, full.with_name("pruned"))
    step = pruned / "steps" / "small"
    of_model, of_step = (made_out_of(one, full.with_name(one.name + "_7")) for one in (pruned, step))
    assert {uncompressed(one, job) for one in (full, pruned, step, of_model, of_step)} == {full}
    assert not caplog.text


@pytest.mark.parametrize("change", ["gone", "trained anew", "made again now"])
def test_a_model_that_is_not_as_it_was_is_not_followed(
    full: Path, job: Job, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    pruned = made_out_of(full, full.with_name("pruned"))
    quantised = made_out_of(pruned, full.with_name("quantised"))
    if change == "gone":
        shutil.rmtree(full)
    elif change == "trained anew":
        write_text(full / "fold_0" / WEIGHTS, change)
    else:
        job = replace(job, folder=full)
    assert uncompressed(quantised, job) == pruned
    assert f"{pruned} was made out of full, which is not beside it any more as it was" in caplog.text


def test_a_model_without_a_network_that_is_asked_for_is_not_followed(full: Path, job: Job) -> None:
    pruned = made_out_of(full, full.with_name("pruned"))
    assert uncompressed(pruned, replace(job, options=TrainingOptions(folds=("all",)))) == pruned


def test_models_that_were_made_out_of_each_other_end_the_search(full: Path, job: Job) -> None:
    first, second = (full.with_name(name) for name in ("int8", "int8-again"))
    made_out_of(full, first)
    made_out_of(first, second)
    write_text(second / "fold_0" / WEIGHTS, first.name)
    made_out_of(second, first)
    assert uncompressed(first, job) == second
