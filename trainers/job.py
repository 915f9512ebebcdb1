"""What a trainer is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from autoseg.data.folds import Fold, dataset_folds
from autoseg.dataset import Dataset
from autoseg.errors import OptionError
from autoseg.files import write_json
from autoseg.plans import Plans, StagePlan, read_plans, write_plans
from autoseg.preprocessing.store import PreparedStore
from autoseg.training.options import TrainingOptions
from autoseg.workspace import Workspace

ALL_CASES = "all"


@dataclass(frozen=True)
class Job:
    """One configuration of one dataset, to be trained.

    folder: the model folder that is made. options: of this run.
    """

    workspace: Workspace
    dataset: Dataset
    plans: Plans
    configuration: str
    folder: Path
    options: TrainingOptions

    @property
    def stages(self) -> tuple[StagePlan, ...]:
        """The stages of the configuration in order."""
        return self.plans.configuration_stages(self.configuration)

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """All folds of the dataset, from its splits file or made anew and written there."""
        return dataset_folds(self.dataset, self.workspace.prepared(self.dataset.name))

    @property
    def fold_names(self) -> tuple[str, ...]:
        """The folds that this run is to train: those asked for, else every one."""
        known = tuple(str(number) for number in range(len(self.folds)))
        names = self.options.folds or known
        for name in names:
            if name not in (*known, ALL_CASES):
                raise OptionError(f"There is no fold {name}.", f"The dataset has folds {', '.join(known)}, and 'all'.")
        return names

    @property
    def fold_count(self) -> int:
        """How many folds this run is to train; the splits file is not read where they were named."""
        return len(self.options.folds or self.fold_names)

    def fold(self, name: str) -> Fold:
        """The cases of a fold; "all" trains on every case and has none to validate on."""
        if name == ALL_CASES:
            return Fold(tuple(case.id for case in self.dataset.cases), ())
        return self.folds[int(name)]

    def stage_folder(self, stage: StagePlan) -> Path:
        """Where the folds of a stage lie: the last stage's on top of the model folder, earlier ones under stages/."""
        return self.folder if stage is self.stages[-1] else self.folder / "stages" / stage.name

    def prepared(self, stage: StagePlan) -> PreparedStore:
        """The prepared cases of a stage; what is missing or stale is prepared now."""
        from autoseg.preprocessing.preparation import prepare_dataset

        folder = self.workspace.grid(self.dataset.name, self.plans.name, stage.grid)
        return prepare_dataset(self.dataset, self.plans, stage, folder)

    def write_description(self) -> None:
        """Put plans.json and dataset.json into the model folder, so that it needs no other folder.

        The plans there hold this configuration alone: whatever the folder is called later, there is no doubt about it.
        """
        stages = {stage.name: stage for stage in self.stages}
        plans = replace(self.plans, stages=stages, configurations={self.configuration: tuple(stages)})
        self._refuse_other_plans(plans)
        write_plans(self.folder / "plans.json", plans)
        write_json(self.folder / "dataset.json", self.dataset.description)

    def _refuse_other_plans(self, plans: Plans) -> None:
        """Networks of other plans in the folder would be used with these, silently wrong."""
        path = self.folder / "plans.json"
        if path.exists() and not self.options.restart and read_plans(path) != plans:
            raise OptionError(
                f"{self.folder} was started with other plans than {self.plans.name!r} are now.",
                "Train it again with --restart, or keep both by planning with another --plans-name.",
            )


@dataclass(frozen=True)
class TrainingResult:
    """A trained configuration.

    folder: the model folder. fold_dice: mean Dice over the validation cases, whole, of each fold that is finished; None
    for a fold without validation cases.
    """

    folder: Path
    fold_dice: dict[str, float | None]

    @property
    def mean_dice(self) -> float | None:
        """The mean over folds; None where no fold has validation cases."""
        known = [dice for dice in self.fold_dice.values() if dice is not None]
        return sum(known) / len(known) if known else None
