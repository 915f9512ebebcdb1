"""Compressing again: with other options, which make nothing again that they do not touch, and what is compressed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from autoseg.files import checksum
from autoseg.inference.calibration import find_int8, read_int8_record
from tests.commands import NAME, TRAIN, command


def compress(root: Path, trainer: str, *more: object) -> Path:
    """The folder of what a trainer makes."""
    assert command(*TRAIN, "--trainer", trainer, *more, root=root) == 0
    return root / "results" / NAME / f"{trainer}__plans__3d_fullres"


def report_of(model: Path) -> dict:
    return json.loads((model / "compression.json").read_text())


def written(folder: Path) -> dict[str, int]:
    """When each network below a folder was written."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}


PRUNED = ["--methods", "channel_pruning", "quantization", "--prune", "25,25,25", "--granularity", 1]


def test_other_levels_keep_what_was_pruned(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = compress(root, "compress", *PRUNED, "--levels", 7)
    before = written(model / "steps")
    caplog.clear()
    with caplog.at_level("INFO"):
        compress(root, "compress", *PRUNED, "--levels", 3)
    assert "step 2 of 2: quantization_3" in caplog.text
    assert "step 1 of 2" not in caplog.text
    assert before.items() <= written(model / "steps").items()
    assert [step["name"] for step in report_of(model)["steps"]] == ["full", "channel_pruning_01", "quantization_3"]


def test_levels_by_which_a_size_was_reached_are_part_of_the_course(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sized = [*PRUNED, "--target-size", "0.1x"]
    compress(root, "compress", *sized, "--levels", 31, "--restart")
    assert command(*TRAIN, "--trainer", "compress", *sized, "--levels", 15, root=root) == 2
    assert "was begun with followed_by {'quantization': [31, None]}" in capsys.readouterr().err


@pytest.fixture
def int8_of(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Path]:
    """int8_of(tolerance): the fold of a network that learnt int8 and lost .3 of Dice; from the second one on untrained.

    What has the Dice is not the network, which predicts all the same.
    """
    found = iter([0.8, 0.5])
    monkeypatch.setattr("trainers.int8.mean_dice", lambda *task: next(found))

    def make(tolerance: float) -> Path:
        return compress(root, "int8", "--quantization-aware", "--int8-tolerance", tolerance) / "fold_0"

    return make


def test_another_tolerance_trains_nothing_and_predicts_again_where_it_decides(
    int8_of: Callable[[float], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = int8_of(1.0)
    weights, summary = fold / "model.safetensors", fold / "summary.json"
    assert len(find_int8([weights])) == 1
    networks, scored = written(fold.parent), summary.stat().st_mtime_ns
    monkeypatch.setattr("autoseg.training.loop.TrainingLoop._step", None)
    monkeypatch.setattr("trainers.int8.calibrate", None)

    int8_of(0.5)
    record = read_int8_record(weights)
    assert record is not None
    assert record.tolerance == report_of(fold.parent)["options"]["int8_tolerance"] == 0.5
    assert summary.stat().st_mtime_ns == scored

    int8_of(0.1)
    assert find_int8([weights]) == ()
    assert report_of(fold.parent)["options"]["int8_tolerance"] == 0.1
    assert summary.stat().st_mtime_ns != scored
    assert (fold.parent / "steps" / "int8" / "step.json").exists()
    assert written(fold.parent) == networks


def test_the_uncompressed_model_teaches_what_is_compressed_twice(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainers.teaching import teacher_of

    full = root / "results" / NAME / "standard__plans__3d_fullres"
    sparse = compress(root, "threshold_pruning", "--threshold", "0.5,1,0.5")
    teachers = []
    monkeypatch.setattr(
        "trainers.quantization.teacher_of", lambda path, *more: teachers.append(path) or teacher_of(path, *more)
    )
    report = report_of(compress(root, "quantization", "--levels", 7, "--from", sparse / "steps/threshold_pruning_01"))
    (teacher,) = teachers
    assert teacher.samefile(full / "fold_0" / "model.safetensors")
    assert report["source"] == "threshold_pruning__plans__3d_fullres/steps/threshold_pruning_01"
    assert report["made_from"] == {"fold_0/model.safetensors": checksum(sparse / "fold_0" / "model.safetensors")}
    assert report["dice_before"] == report_of(sparse)["dice_before"]
    sizes = [step["networks"]["3d_fullres"]["bytes"] for step in (report["steps"][0], report_of(sparse)["steps"][0])]
    assert sizes[0] == sizes[1] == teacher.stat().st_size
