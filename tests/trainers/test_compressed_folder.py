"""The folder of a compressed model: what --restart may remove, and how a step becomes the model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autoseg.errors import OptionError
from autoseg.files import write_text
from autoseg.inference.model_files import finished_folds
from trainers import compressed_folder
from trainers.compressed_folder import begin_folder, check_restart, promote

TWO_STAGES = ("plans.json", "stages/locate/fold_0/model.safetensors", "fold_0/organs.json", "fold_0/summary.json")
CASCADE = ("plans.json", "fold_0/model.safetensors", "stages/3d_lowres/fold_0/model.safetensors")


def write(folder: Path, names: Iterable[str], content: str = "") -> Path:
    for name in names:
        write_text(folder / name, content or folder.name)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def job(folder: Path, *folds: str, restart: bool = True) -> Any:
    return SimpleNamespace(folder=folder, fold_names=folds, options=SimpleNamespace(restart=restart))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A compressed model of folds 0 and 1."""
    folder, weights = tmp_path / "model", [f"fold_{fold}/model.safetensors" for fold in (0, 1)]
    write(folder / "steps" / "step_1", weights)
    return write(folder, [*weights, "course.json"])


def test_restart_of_one_fold_is_refused_and_loses_nothing(model: Path) -> None:
    before = contents(model)
    with pytest.raises(OptionError, match=r"also remove fold 1 of .*--restart --folds 0 1"):
        begin_folder(job(model, "0"))
    assert contents(model) == before


def test_a_fold_that_stands_in_a_step_alone_is_not_removed_either(model: Path) -> None:
    (model / "fold_1" / "model.safetensors").unlink()
    with pytest.raises(OptionError, match="also remove fold 1"):
        check_restart(job(model, "0"))


def test_restart_of_all_folds_removes_everything(model: Path) -> None:
    begin_folder(job(model, "0", "1"))
    assert not model.exists()


def test_without_restart_everything_stays(model: Path) -> None:
    before = contents(model)
    begin_folder(job(model, "0", restart=False))
    assert contents(model) == before


def promote_killed_after(count: int, step: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `count` of the files in their place."""
    take_over, taken = compressed_folder.take_over, []

    def killed(source: Path, path: Path) -> None:
        if len(taken) == count:
            raise KeyboardInterrupt
        taken.append(path)
        take_over(source, path)

    with monkeypatch.context() as patched:
        patched.setattr(compressed_folder, "take_over", killed)
        with pytest.raises(KeyboardInterrupt):
            promote(step, model)


@pytest.mark.parametrize("names", [TWO_STAGES, CASCADE])
def test_a_killed_promotion_leaves_no_fold_that_counts_as_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    first, second, model = write(tmp_path / "first", names), write(tmp_path / "second", names), tmp_path / "model"
    for count in range(len(names)):
        promote(first, model)
        assert finished_folds(model) == ["0"]
        promote_killed_after(count, second, model, monkeypatch)
        assert finished_folds(model) == []
    promote(second, model)
    assert contents(model) == dict.fromkeys(names, "second")


def test_what_another_step_left_goes(tmp_path: Path) -> None:
    int8 = [*CASCADE, "fold_0/int8.json", "stages/3d_lowres/fold_0/int8.json"]
    model, own = tmp_path / "model", ("course.json", "steps/int8/step.json")
    promote(write(tmp_path / "int8", int8), write(model, own, "own"))
    promote(write(tmp_path / "pruned", [*CASCADE, "step.json", "compression.json"]), model)
    assert contents(model) == dict.fromkeys(CASCADE, "pruned") | dict.fromkeys(own, "own")


def test_the_step_that_is_the_model_already_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, model = write(tmp_path / "step", CASCADE), tmp_path / "model"
    promote(step, model)
    monkeypatch.setattr(compressed_folder, "take_over", None)
    promote(step, model)
    write(model, ["plans.json"], step.name)
    promote(step, model)
