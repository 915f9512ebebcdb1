"""The parts of a model folder on disk, found before any network is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.dataset import read_channel_names
from autoseg.errors import FileError
from autoseg.files import read_json
from autoseg.labels import Labels, read_labels_entry
from autoseg.plans import Plans, StagePlan, read_plans
from autoseg.postprocessing import Rule, read_rules

ALL_CASES = "all"
WEIGHTS = "model.safetensors"
EXPERIENCE = "organs.json"
"""In a fold of a configuration of two stages, written when all of the fold's networks are finished."""
HELD_OUT_SECONDS = "validation_seconds.json"
"""In a fold that predicted its held-out cases: how long each took, from its prepared form."""


@dataclass(frozen=True)
class ModelFiles:
    """What a model folder holds, before any network is loaded.

    weights: the files of each stage, in order, one per fold. folds: those of the last stage.
    """

    folder: Path
    configuration: str
    plans: Plans
    labels: Labels
    channel_names: tuple[str, ...]
    file_ending: str
    folds: tuple[str, ...]
    weights: tuple[tuple[Path, ...], ...]

    @property
    def stages(self) -> tuple[StagePlan, ...]:
        """The stages of the configuration in order."""
        return self.plans.configuration_stages(self.configuration)

    @property
    def experience(self) -> tuple[Path, ...]:
        """What each fold learned of finding organs, where the configuration segments organs one by one; else empty."""
        if not any(stage.region for stage in self.stages):
            return ()
        return tuple(self.folder / f"fold_{fold}" / EXPERIENCE for fold in self.folds)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The postprocessing of this model; none where none was chosen."""
        path = self.folder / "postprocessing.json"
        return read_rules(path, self.labels).rules if path.exists() else ()


def read_model_files(
    folder: Path | str, *, folds: Sequence[str | int] | None = None, configuration: str | None = None
) -> ModelFiles:
    """Find the parts of a model folder; FileError names the one that is missing and how to get it.

    configuration: which of the plans the folder holds; by default what its name ends with.
    """
    folder = Path(folder).expanduser().absolute()
    for name in ("plans.json", "dataset.json"):
        if not (folder / name).is_file():
            fact = "does not exist" if not folder.is_dir() else f"is no model folder: it has no {name}"
            raise FileError(folder, f"{fact}.", "Give RESULTS/DatasetNNN_Name/TRAINER__PLANS__CONFIGURATION.")
    plans = read_plans(folder / "plans.json")
    description = read_json(folder / "dataset.json")
    labels = read_labels_entry(description, folder / "dataset.json")
    channel_names = read_channel_names(description, folder / "dataset.json")
    configuration = configuration or _configuration(folder, plans)
    stages = plans.configuration_stages(configuration)
    chosen = _chosen(folder, None if folds is None else [str(fold) for fold in folds], stages[-1])
    weights = [_weights(folder, stage, folds is not None, chosen, last=stage is stages[-1]) for stage in stages]
    ending = str(description.get("file_ending", ".nii.gz"))
    every = tuple(tuple(paths) for paths in weights)
    return ModelFiles(folder, configuration, plans, labels, channel_names, ending, tuple(chosen), every)


def finished_folds(folder: Path) -> list[str]:
    """Names of the folds in a folder whose networks are finished, sorted: "0", "1", ..., "all"."""
    marks = [path for name in (WEIGHTS, EXPERIENCE) for path in folder.glob(f"fold_*/{name}")]
    return sorted(path.parent.name.removeprefix("fold_") for path in marks)


def held_out_seconds(fold_folder: Path) -> dict[str, float]:
    """By held-out case of a fold the seconds of its prediction; empty where none was predicted or recorded."""
    path = fold_folder / HELD_OUT_SECONDS
    return {case: float(seconds) for case, seconds in read_json(path).items()} if path.exists() else {}


def _configuration(folder: Path, plans: Plans) -> str:
    named = folder.name.rpartition("__")[2]
    if named in plans.configurations:
        return named
    if len(plans.configurations) == 1:
        return next(iter(plans.configurations))
    known = ", ".join(plans.configurations)
    raise FileError(
        folder, f"its name does not end with a configuration of its plans ({known}).", "Name it e.g. model__3d_fullres."
    )


def _chosen(folder: Path, wanted: list[str] | None, stage: StagePlan) -> list[str]:
    """The folds to use; FileError where one of them, or any at all, is not finished."""
    known = finished_folds(folder)
    missing = [fold for fold in wanted or [] if fold not in known]
    if known and not missing:
        return known if wanted is None else list(dict.fromkeys(wanted))
    which = f"fold {missing[0]}" if missing and known else "any fold"
    found = f" (finished: {', '.join(known)})" if known else ""
    raise FileError(
        folder,
        f"holds no finished network of {which} of the stage {stage.name}{found}.",
        "Train it with autoseg_train DATASET CONFIGURATION" + (f" --folds {missing[0]}." if missing else "."),
    )


def _weights(folder: Path, stage: StagePlan, asked: bool, folds: list[str], *, last: bool) -> list[Path]:
    """The networks of a stage, one per fold: of an organ, and of the last stage, exactly those of the chosen folds."""
    place = folder if last and stage.region is None else folder / "stages" / stage.network_name
    used = (
        folds if last and stage.region is None else _of_earlier(place, asked or stage.region is not None, folds, stage)
    )
    return [place / f"fold_{fold}" / WEIGHTS for fold in used]


def _of_earlier(folder: Path, asked: bool, folds: list[str], stage: StagePlan) -> list[str]:
    """The folds of an earlier stage: those asked for; the network of all cases may stand on all folds instead."""
    wanted = folds if asked and folds != [ALL_CASES] else None
    if folds == [ALL_CASES] and ALL_CASES in finished_folds(folder):
        wanted = [ALL_CASES]
    return _chosen(folder, wanted, stage)
