"""What a network was made from, kept beside it, so that it is never taken for another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoseg.data.folds import Fold
from autoseg.errors import OptionError
from autoseg.files import checksum_of, read_artefact, to_json, write_json
from autoseg.plans import Plans, StagePlan
from autoseg.training.options import TrainingSettings

RECORD_SCHEMA = 1


@dataclass(frozen=True)
class FittingRecord:
    """training.json of a fold.

    plan: checksum of what the plans say that decides a network. train, validation: the cases, sorted.
    """

    settings: TrainingSettings
    plan: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    schema: int = RECORD_SCHEMA

    @classmethod
    def of(cls, settings: TrainingSettings, plans: Plans, stage: StagePlan, cases: Fold) -> FittingRecord:
        """What a network is about to be made from."""
        plan = checksum_of(decisive(plans, plans.sharing(stage)))
        return cls(settings, plan, tuple(sorted(cases.train)), tuple(sorted(cases.validation)))

    @classmethod
    def read(cls, path: Path) -> FittingRecord | None:
        """The record of a fold that was trained or started; None where it was not."""
        return read_artefact(cls, path, remedy="Train this fold again with --restart.") if path.exists() else None

    def write(self, path: Path) -> None:
        """Write training.json whole or not at all."""
        write_json(path, self)

    def refuse_other(self, now: FittingRecord, folder: Path) -> None:
        """Raise OptionError where a fold that stands in the folder was made from other cases or plans than now."""
        if self.plan != now.plan:
            fact = "was trained with other plans"
        elif (self.train, self.validation) != (now.train, now.validation):
            moved = sorted(set(self.train) ^ set(now.train)) or sorted(set(self.validation) ^ set(now.validation))
            fact = f"was trained on other cases ({_some(moved)} moved)"
        else:
            return
        raise OptionError(
            f"{folder} {fact} than this run would take.",
            "Train it again with --restart, or bring back the splits and plans that it was trained with.",
        )

    def settings_on_resuming(self, settings: TrainingSettings) -> TrainingSettings:
        """The settings with the number format that this fold was started with: auto may find another one later."""
        same_device = self.settings.device == settings.device
        return replace(settings, precision=self.settings.precision) if same_device else settings

    def changed_settings(self, settings: TrainingSettings) -> str:
        """In what the settings differ, as a phrase; empty where in nothing."""
        before, now = to_json(self.settings), to_json(settings)
        return "; ".join(f"{name} {before[name]}, now {now[name]}" for name in now if before[name] != now[name])


def decisive(plans: Plans, stages: Iterable[StagePlan]) -> dict[str, Any]:
    """What the plans say that a network depends on: not why, for which machine, or for how long it is trained."""
    kept = {"transpose", "channels", "mirror_axes", "left_right_axis", "left_right_pairs", "air"}
    common = {key: value for key, value in to_json(plans).items() if key in kept}
    return common | {"stages": [_without_training(to_json(stage)) for stage in stages]}


def _without_training(stage: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in stage.items() if key not in ("training", "flips")}


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
