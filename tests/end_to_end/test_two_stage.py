"""Locating organs and segmenting each in its region, on small phantoms, through the commands that a user types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest

from autoseg.inference.backends import choice
from autoseg.inference.backends.probe import answer
from autoseg.plans import read_plans
from dataset_conversion.phantom import write_phantom_dataset
from tests.commands import NAME, command, usual_speed

TRAIN = ["train", 1, "3d_two_stage", "--folds", 0, 1, "--epochs", 1, "--iterations-per-epoch", 1, "--threads", 1]
TRAIN += ["--precision", "fp32"]


@pytest.fixture(scope="module", autouse=True)
def _unmeasured() -> Iterator[None]:
    with usual_speed():
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a phantom dataset of six cases, planned for two stages."""
    root = tmp_path_factory.mktemp("workspace")
    write_phantom_dataset(root / "raw" / NAME, cases=6, test_cases=1, shape=(16, 32, 32))
    small = ["--base-filters", 8, "--pooling", 2, "--patch-size", "16,32,32", "--device", "cpu", "--budget", "60s"]
    plan = ["plan_and_preprocess", "-d", 1, *small, "--two-stage", "always", "-c", "3d_two_stage"]
    assert command(*plan, root=root) == 0
    return root


@pytest.fixture(scope="module")
def model(root: Path) -> Path:
    """The configuration, trained on two of the five folds."""
    assert command(*TRAIN, root=root) == 0
    return root / "results" / NAME / "two_stage__plans__3d_two_stage"


def organ_stages(model: Path) -> list[str]:
    return [name for name, stage in read_plans(model / "plans.json").stages.items() if stage.region]


def test_one_command_trains_the_locator_and_every_organ(model: Path) -> None:
    stages = organ_stages(model)
    expected = [f"stages/{stage}/fold_{n}/model.safetensors" for stage in stages for n in (0, 1)]
    expected += [f"fold_{n}/{file}" for n in (0, 1) for file in ("organs.json", "summary.json")]
    expected += [f"stages/locate/{part}/summary.json" for part in ("fold_0", "fold_1", "rest_of_0_1")]
    assert len(stages) > 2
    assert [name for name in expected if not (model / name).exists()] == []
    assert len(list((model / "stages" / "locate" / "boxes").glob("*.json"))) == 6


def test_only_the_grid_of_the_locator_is_prepared_for_whole_cases(root: Path, model: Path) -> None:
    assert {path.name for path in (root / "prepared" / NAME).iterdir() if path.is_dir()} == {"plans_locate"}


def test_what_a_fold_learns_of_finding_organs_comes_from_its_training_cases(root: Path, model: Path) -> None:
    splits = json.loads((root / "prepared" / NAME / "splits.json").read_text())
    organs = json.loads((model / "fold_0" / "organs.json").read_text())["organs"]
    assert all(known["cases"] <= len(splits[0]["train"]) for known in organs.values())


def test_finished_networks_are_skipped_and_missing_ones_made(
    root: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (model / "stages" / name / "fold_0" / "model.safetensors" for name in organ_stages(model)[:2])
    before = first.stat().st_mtime_ns
    second.unlink()
    with caplog.at_level("INFO"):
        assert command(*TRAIN, root=root) == 0
    assert first.stat().st_mtime_ns == before
    assert second.exists()
    assert "already trained, skipped" in caplog.text


def test_organs_are_predicted_or_reported_with_the_reason(root: Path, model: Path) -> None:
    raw, out = root / "raw" / NAME, root / "out"
    assert command("predict", "-d", 1, "-c", "3d_two_stage", "-i", raw / "imagesTs", "-o", out, root=root) == 0
    (image,), (path,) = (raw / "imagesTs").glob("*.nii.gz"), out.glob("*.nii.gz")
    labels = nibabel.load(path)
    np.testing.assert_array_equal(nibabel.load(image).affine, labels.affine)
    named = json.loads((raw / "dataset.json").read_text())["labels"]
    there = {name for name, value in named.items() if value and (np.asarray(labels.dataobj) == value).any()}
    manifest = json.loads((out / "autoseg_prediction.json").read_text())
    reported = manifest["not_found"].get(path.name.split(".")[0], {})
    cleaned = manifest["postprocessing"]
    assert there | set(reported) == set(named) - {"background"} or cleaned
    assert not there & set(reported)
    assert all(len(reason) > 10 for reason in reported.values())


def test_a_model_of_two_stages_and_another_are_averaged(root: Path, model: Path, tmp_path: Path) -> None:
    again = tmp_path / model.name
    again.symlink_to(model)
    images = root / "raw" / NAME / "imagesTs"
    models = ["--model", model, again, "-i", images, "-o"]
    assert command("predict", *models, tmp_path / "both", "--no-postprocessing", root=root) == 0
    alone = ["--model", model, "-i", images, "-o", tmp_path / "one", "--no-postprocessing"]
    assert command("predict", *alone, root=root) == 0
    (both,), (one,) = (tmp_path / "both").glob("*.nii.gz"), (tmp_path / "one").glob("*.nii.gz")
    np.testing.assert_array_equal(nibabel.load(both).dataobj, nibabel.load(one).dataobj)


def test_plans_without_two_stages_say_how_to_force_them(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = [
        "plan_and_preprocess",
        "-d",
        1,
        "--plans-name",
        "flat",
        "--two-stage",
        "never",
        "-c",
        "2d",
        "--device",
        "cpu",
    ]
    assert command(*plan, "--budget", "60s", root=root) == 0
    assert command("train", 1, "3d_two_stage", "--plans-name", "flat", root=root) == 2
    assert "--two-stage always" in capsys.readouterr().err


def test_one_volume_is_predicted_by_what_was_measured_after_training(
    root: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.validating.EXPECTED_VOLUMES", 10**7)  # of networks so small
    monkeypatch.setattr(choice, "ask", lambda request: answer(request).trials)
    for path in (*model.glob("**/fold_0/summary.json"), *model.glob("**/fold_0/validation/*")):
        path.unlink()
    assert command(*TRAIN, root=root) == 0
    images, out = root / "raw" / NAME / "imagesTs", root / "out_measured"
    predict = ["predict", "-d", 1, "-c", "3d_two_stage", "--threads", 1, "-i", images, "-o", out]
    assert command(*predict, root=root) == 0
    (engines,) = json.loads((out / "autoseg_prediction.json").read_text())["engines"]
    assert len(engines) == 1 + len(organ_stages(model))
    assert all("times as fast" in engine["reason"] for engine in engines), engines
