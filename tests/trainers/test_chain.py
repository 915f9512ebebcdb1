"""Steps are judged by all folds of the model, in whatever order those are compressed; nothing is trained here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autoseg.compression.options import CompressionOptions
from autoseg.compression.report import REPORT, CompressionReport, StepReport
from autoseg.data.folds import Fold
from autoseg.errors import OptionError
from autoseg.files import checksum, write_json, write_text
from autoseg.inference.model_files import WEIGHTS, finished_folds
from autoseg.plans import Plans, TrainingPlan
from autoseg.training.options import TrainingOptions, settle
from autoseg.workspace import Workspace
from trainers.compressing import Chain
from trainers.job import Job, TrainingResult
from trainers.provenance import FittingRecord

Dice = dict[str, Sequence[float]]
"""By fold: of the full model, and after each step."""


@dataclass(frozen=True)
class NamedStep:
    """Changes nothing; its number ends its name."""

    name: str

    def stage(self, stage: Any) -> Any:
        return stage

    def description(self, stage: str) -> str:
        return self.name


class Compressions:
    """Runs of the steps of a compression, fold by fold, with given Dice. reports: of each, all steps and the chosen."""

    def __init__(self, root: Path, plans: Plans, dice: Dice) -> None:
        self.root, self.plans, self.dice = root, plans, dice
        self.reports: list[tuple[Sequence[StepReport], StepReport]] = []

    @property
    def model(self) -> Path:
        return self.root / "model"

    def chain(self, *folds: str, max_dice_drop: float | None = None, restart: bool = False) -> Chain:
        options = TrainingOptions(folds=folds, restart=restart)
        compression = CompressionOptions(max_dice_drop=max_dice_drop)
        dataset: Any = SimpleNamespace(name="Dataset001_X", cases=())
        workspace = Workspace(self.root)
        job = Job(workspace, dataset, self.plans, "3d_fullres", self.model, options, compression)
        return Chain(job, "quantization", self.root / "full")

    def run(self, *folds: str, max_dice_drop: float | None = None) -> StepReport:
        """The chosen step."""
        chain = self.chain(*folds, max_dice_drop=max_dice_drop)
        count = len(next(iter(self.dice.values()))) - 1
        chain.run([[NamedStep(f"step_{number + 1}") for number in range(count)]])  # type: ignore[list-item]
        return self.reports[-1][1]

    def trainer(self, job: Job) -> Any:
        def run() -> TrainingResult:
            step = job.folder.name
            write_text(job.folder / "plans.json", step)
            for name in job.fold_names:
                write_text(job.folder / f"fold_{name}" / WEIGHTS, step)
            number = int(step.rpartition("_")[2])
            return TrainingResult(job.folder, {name: self.dice[name][number] for name in job.fold_names})

        return SimpleNamespace(run=run)


@pytest.fixture
def compressions(
    tmp_path: Path, write_model: Callable[..., Plans], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Dice], Compressions]:
    """Makes the compressions of a model of two folds."""
    folds = (Fold(("b",), ("a",)), Fold(("a",), ("b",)))
    monkeypatch.setattr("trainers.job.dataset_folds", lambda dataset, folder: folds)

    def dice_in(path: Path) -> Any:
        return SimpleNamespace(mean_dice=float(path.read_text()))

    monkeypatch.setattr("autoseg.evaluation.read_summary", dice_in)

    def make(dice: Dice) -> Compressions:
        plans = write_model(tmp_path / "full", folds=tuple(dice))
        for name, values in dice.items():
            write_text(tmp_path / "full" / f"fold_{name}" / "summary.json", str(values[0]))
        made = Compressions(tmp_path, plans, dice)
        monkeypatch.setattr("trainers.compressing.usual_trainer", made.trainer)

        def report(chain: Any, measures: Any, steps: Any, good: StepReport) -> None:
            made.reports.append((steps, good))

        monkeypatch.setattr("trainers.compressing.write_report", report)
        return made

    return make


def test_a_second_fold_is_not_held_against_the_dice_of_the_first(
    compressions: Callable[[Dice], Compressions],
) -> None:
    made = compressions({"0": (0.80, 0.80), "1": (0.88, 0.88)})
    made.run("0", max_dice_drop=0.01)
    made.run("1", max_dice_drop=0.01)
    before, after = made.reports[-1][0]
    assert before.dice == after.dice == pytest.approx(0.84)
    assert before.fold_dice == after.fold_dice == {"0": 0.80, "1": 0.88}
    assert finished_folds(made.model) == ["0", "1"]


def test_a_good_first_fold_does_not_hide_what_the_second_loses(compressions: Callable[[Dice], Compressions]) -> None:
    made = compressions({"0": (0.88, 0.88), "1": (0.80, 0.76)})
    made.run("0", max_dice_drop=0.01)
    with pytest.raises(OptionError, match=r"takes mean Dice from 0\.8400 to 0\.8200"):
        made.run("1", max_dice_drop=0.01)
    assert finished_folds(made.model) == ["0"]


def test_one_fold_again_is_judged_with_the_others(compressions: Callable[[Dice], Compressions]) -> None:
    made = compressions({"0": (0.8, 0.8, 0.7), "1": (0.8, 0.8, 0.8)})
    assert made.run("0", "1", max_dice_drop=0.06).name == "step_2"
    assert made.run("0", max_dice_drop=0.06).name == "step_2"
    assert made.run("1", max_dice_drop=0.04).name == "step_1"


def test_a_fold_without_a_known_dice_before_does_not_count(compressions: Callable[[Dice], Compressions]) -> None:
    made = compressions({"0": (0.80, 0.70), "1": (0.95, 0.95)})
    (made.root / "full" / "fold_1" / "summary.json").unlink()
    with pytest.raises(OptionError, match="Already the first step"):
        made.run("0", "1", max_dice_drop=0.05)


def test_dice_is_held_against_the_model_that_was_compressed_first(compressions: Callable[[Dice], Compressions]) -> None:
    made = compressions({"0": (0.86, 0.82)})
    source, first = made.root / "full", made.root / "first"
    shutil.copytree(source, first)
    write_text(first / "fold_0" / "summary.json", "0.9")
    sums = {f"fold_0/{WEIGHTS}": checksum(first / "fold_0" / WEIGHTS)}
    write_json(source / REPORT, CompressionReport("quantization", first.name, sums, {}, "x", 0.9, 0.86, {}, ()))
    with pytest.raises(OptionError, match=r"takes mean Dice from 0\.9000 to 0\.8200"):
        made.run("0", max_dice_drop=0.05)
    made.run("0", max_dice_drop=0.1)
    (before, _), _ = made.reports[-1]
    assert before.dice == 0.9


def test_all_folds_of_a_model_are_of_one_step(compressions: Callable[[Dice], Compressions]) -> None:
    made = compressions({"0": (0.8, 0.8, 0.7, 0.8), "1": (0.8, 0.8, 0.8, 0.8)})
    assert made.run("0", max_dice_drop=0.06).name == "step_1"
    with pytest.raises(OptionError, match=r"has fold 0, of which step_3 was not made.*--folds 0 1"):
        made.run("1", max_dice_drop=0.06)
    assert finished_folds(made.model) == ["0"]
    assert (made.model / "plans.json").read_text() == "step_1"
    assert made.run("0", "1", max_dice_drop=0.06).name == "step_3"
    assert {path.read_text() for path in made.model.glob("fold_*/*")} == {"step_3"}


def test_a_fold_is_not_put_beside_one_that_was_made_in_another_way(
    compressions: Callable[[Dice], Compressions],
) -> None:
    made = compressions({"0": (0.8, 0.8), "1": (0.8, 0.8)})
    made.run("0")
    settings = settle(TrainingPlan(), TrainingOptions(), precision="fp32", device="cpu")
    record = FittingRecord(settings, "", (), (), made_from="with other options")
    record.write(made.model / "steps" / "step_1" / "fold_0" / "training.json")
    with pytest.raises(OptionError, match="fold_0 was made out of another network, or in another way"):
        made.run("1")


def test_restart_of_one_fold_is_refused_at_once(compressions: Callable[[Dice], Compressions]) -> None:
    made = compressions({"0": (0.8, 0.8), "1": (0.8, 0.8)})
    made.run("0", "1")
    with pytest.raises(OptionError, match=r"also remove fold 1.*--restart --folds 0 1"):
        made.chain("0", restart=True)


def test_what_was_decided_is_written_when_the_folder_is_begun(compressions: Callable[[Dice], Compressions]) -> None:
    made = compressions({"0": (0.8, 0.8)})
    write_text(made.model / "course.json", "of another run")
    chain = made.chain("0", restart=True)
    chain.decided["course.json"] = [1]
    assert (made.model / "course.json").read_text() == "of another run"
    chain.run([[NamedStep("step_1")]])  # type: ignore[list-item]
    assert (made.model / "course.json").read_text().split() == ["[", "1", "]"]
