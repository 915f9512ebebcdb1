"""The main job on small phantoms, through the commands that a user types."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from dataset_conversion.phantom import write_phantom_dataset
from tests.commands import command

TINY = ["--epochs", "2", "--iterations-per-epoch", "2", "--threads", "1"]
Command = Callable[..., int]


@contextmanager
def edited(path: Path, old: str, new: str) -> Iterator[None]:
    """A text file with one part replaced, for a while."""
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))
    try:
        yield
    finally:
        path.write_text(before)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a planned and prepared phantom dataset of six cases."""
    root = tmp_path_factory.mktemp("workspace")
    write_phantom_dataset(root / "raw" / "Dataset001_Phantom", cases=6, test_cases=1, shape=(16, 32, 32))
    small = ["--base-filters", 8, "--pooling", 2, "--patch-size", "16,32,32", "--cascade", "always", "--device", "cpu"]
    assert command("plan_and_preprocess", "-d", 1, "--budget", "60s", *small, root=root) == 0
    return root


@pytest.fixture(scope="module")
def cascade(root: Path) -> Path:
    """The cascade, trained on two of the five folds."""
    assert command("train", 1, "3d_cascade", "--folds", 0, 1, *TINY, root=root) == 0
    return root / "results" / "Dataset001_Phantom" / "cascade__plans__3d_cascade"


def test_a_cascade_trains_in_one_command(cascade: Path) -> None:
    expected = [f"fold_{n}/{file}" for n in (0, 1) for file in ("model.safetensors", "summary.json", "progress.png")]
    expected += [f"stages/3d_lowres/{part}/summary.json" for part in ("fold_0", "fold_1", "rest_of_0_1")]
    assert [name for name in expected if not (cascade / name).exists()] == []


def test_every_case_is_guided_by_labels_of_a_network_that_never_saw_it(root: Path, cascade: Path) -> None:
    splits = json.loads((root / "prepared" / "Dataset001_Phantom" / "splits.json").read_text())
    everyone = {case for fold in splits for case in fold["val"]}
    parts = {part.name: part for part in (cascade / "stages" / "3d_lowres").iterdir() if (part / "validation").is_dir()}
    seen_by = {"fold_0": set(splits[0]["train"]), "fold_1": set(splits[1]["train"])}
    seen_by["rest_of_0_1"] = set(splits[0]["val"]) | set(splits[1]["val"])
    predicted = {name: {p.name.split(".")[0] for p in (part / "validation").iterdir()} for name, part in parts.items()}
    assert set().union(*predicted.values()) == everyone
    assert all(not predicted[name] & seen_by[name] for name in predicted)


def test_prediction_and_evaluation_follow(root: Path, cascade: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out = root / "raw" / "Dataset001_Phantom", root / "out"
    assert command("predict", "-d", 1, "-c", "3d_cascade", "-i", raw / "imagesTs", "-o", out, root=root) == 0
    (image,), (labels,) = (raw / "imagesTs").glob("*.nii.gz"), out.glob("*.nii.gz")
    np.testing.assert_array_equal(nibabel.load(image).affine, nibabel.load(labels).affine)
    assert nibabel.load(image).shape == nibabel.load(labels).shape
    assert command("evaluate", out, raw / "labelsTs", root=root) == 0
    assert "mandible" in capsys.readouterr().out


def test_a_model_folder_copied_elsewhere_predicts(root: Path, cascade: Path, tmp_path: Path) -> None:
    import shutil

    copied = shutil.copytree(cascade, tmp_path / cascade.name)
    images = root / "raw" / "Dataset001_Phantom" / "imagesTs"
    assert command("predict", "--model", copied, "-i", images, "-o", tmp_path / "out", root=tmp_path / "empty") == 0
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [([], "already trained, skipped"), (["--seed", 7], "other settings (seed 0, now 7), skipped")],
)
def test_finished_folds_are_skipped(
    root: Path, cascade: Path, options: list[object], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = (cascade / "fold_0" / "model.safetensors").stat().st_mtime_ns
    with caplog.at_level("INFO"):
        assert command("train", 1, "3d_cascade", "--folds", 0, 1, *TINY, *options, root=root) == 0
    assert (cascade / "fold_0" / "model.safetensors").stat().st_mtime_ns == before
    assert said in caplog.text
    assert all(f"{stage}: trained already." in caplog.text for stage in ("3d_lowres", "3d_cascade_fullres"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "fold_0" / "model.safetensors")


def test_a_stopped_training_ends_bit_for_bit_as_an_uninterrupted_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoseg.training.loop import TrainingLoop

    folder = root / "results" / "Dataset001_Phantom" / "standard__plans__3d_fullres"
    train = ["train", 1, "3d_fullres", "--folds", 0, "--epochs", 3, "--iterations-per-epoch", 2, "--threads", 1]
    assert command(*train, root=root) == 0
    whole = weights(folder)

    def stop_at_3(loop: TrainingLoop, batch: object, step: Callable[..., None] = TrainingLoop._step) -> None:
        if loop.iteration == 3:
            raise KeyboardInterrupt
        step(loop, batch)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "_step", stop_at_3)
        assert command(*train, "--restart", root=root) == 130
    assert not (folder / "fold_0" / "model.safetensors").exists()
    assert command(*train, root=root) == 0
    continued = weights(folder)
    assert all(torch.equal(whole[name], continued[name]) for name in whole)


def test_a_configuration_that_does_not_exist_is_explained(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("train", 1, "3d_superres", root=root) == 2
    assert "no configuration '3d_superres'" in capsys.readouterr().err


def test_plans_without_a_cascade_say_how_to_force_one(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = ["plan_and_preprocess", "-d", 1, "--plans-name", "flat", "--cascade", "never", "--device", "cpu"]
    assert command(*plan, "--check-only", root=root) == 0
    assert command(*plan, "--budget", "60s", root=root) == 0
    assert command("train", 1, "3d_cascade", "--plans-name", "flat", root=root) == 2
    assert "--cascade always" in capsys.readouterr().err


def test_networks_of_other_plans_are_not_taken_for_these(
    root: Path, cascade: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with edited(root / "prepared" / "Dataset001_Phantom" / "plans.json", '"batch_size": 2', '"batch_size": 3'):
        assert command("train", 1, "3d_cascade", "--folds", 0, 1, *TINY, root=root) == 2
        assert "was started with other plans" in capsys.readouterr().err
        assert command("train", 1, "3d_cascade", "--folds", 0, *TINY, "--restart", root=root) == 2
        assert "also holds fold 1" in capsys.readouterr().err
    assert (cascade / "fold_0" / "model.safetensors").exists()


def test_what_does_not_decide_a_network_may_change(root: Path, cascade: Path) -> None:
    with edited(root / "prepared" / "Dataset001_Phantom" / "plans.json", '"memory_bytes": ', '"memory_bytes": 1'):
        assert command("train", 1, "3d_cascade", "--folds", 0, 1, *TINY, root=root) == 0


def test_folds_of_other_splits_are_not_taken_for_these(
    root: Path, cascade: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / "prepared" / "Dataset001_Phantom" / "splits.json"
    splits = json.loads(path.read_text())
    with edited(path, path.read_text(), json.dumps([splits[1], splits[0], *splits[2:]])):
        assert command("train", 1, "3d_cascade", "--folds", 0, 1, *TINY, root=root) == 2
    assert "was trained on other cases" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"mandible"', '"jaw"', "was started with other labels"),
        ('"CT"', '"MR"', "was started with other channels"),
        ('"0": "CT"', '"0": "CT", "1": "T2"', "a network of 1 inputs"),
    ],
)
def test_networks_of_another_dataset_are_not_taken_for_this_one(
    root: Path, cascade: Path, old: str, new: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with edited(root / "raw" / "Dataset001_Phantom" / "dataset.json", old, new):
        assert command("train", 1, "3d_cascade", "--folds", 0, 1, *TINY, root=root) == 2
    assert message in capsys.readouterr().err


def test_whole_cases_are_validated_on_the_way_as_at_the_end(root: Path) -> None:
    """The last epoch's network is the model: both ways of scoring it agree, with the cases in memory or on disk."""
    options = ["--validate-whole", 2, "--cache", "--shift", 4, "--crops-per-case", 2, "--seed", 3]
    plan = ["plan_and_preprocess", "-d", 1, "--plans-name", "whole", "--pooling", 2, "--base-filters", 8]
    assert command(*plan, "--patch-size", "16,32,32", "--device", "cpu", "--budget", "60s", root=root) == 0
    assert command("train", 1, "3d_fullres", "--folds", 0, *TINY, *options, "--plans-name", "whole", root=root) == 0
    fold = root / "results" / "Dataset001_Phantom" / "standard__whole__3d_fullres" / "fold_0"
    lines = [json.loads(line) for line in (fold / "training.jsonl").read_text().splitlines()]
    assert "whole_validation_dice" not in lines[0]
    dice = json.loads((fold / "summary.json").read_text())["overall"]["dice"]["mean"]
    assert lines[1]["mean_whole_validation_dice"] == pytest.approx(dice, abs=1e-4)
