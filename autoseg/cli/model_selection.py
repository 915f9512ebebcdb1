"""Which model folder of a dataset a configuration stands for."""

from __future__ import annotations

from pathlib import Path

from autoseg.errors import FileError, OptionError

BEST = "best"


def find_model(results: Path, configuration: str, *, plans: str = "plans", trainer: str | None = None) -> Path:
    """The folder TRAINER__PLANS__CONFIGURATION below a dataset's results that holds a finished fold.

    configuration: "best" takes the one with the highest cross-validated Dice. trainer: None takes the only one there
    is. Raises FileError where there is none, and OptionError, listing them, where there are several.
    """
    if configuration == BEST:
        return next(iter(ranked_models(results, plans=plans, trainer=trainer)))
    found = _finished(results, f"{trainer or '*'}__{plans}__{configuration}")
    if not found:
        known = ", ".join(folder.name for folder in _finished(results, "*__*__*")) or "none"
        raise FileError(
            results,
            f"has no trained model of the configuration {configuration!r} (trained: {known}).",
            f"Train it with autoseg_train {results.name} {configuration}.",
        )
    if len(found) > 1:
        trainers = ", ".join(folder.name.split("__")[0] for folder in found)
        raise OptionError(f"{configuration} was trained by several trainers: {trainers}.", "Choose one with --trainer.")
    return found[0]


def ranked_models(results: Path, *, plans: str = "plans", trainer: str | None = None) -> dict[Path, float]:
    """Model folders and their mean Dice over the folds that have one, the best first."""
    scores = {folder: cross_validated_dice(folder) for folder in _finished(results, f"{trainer or '*'}__{plans}__*")}
    known = {folder: score for folder, score in scores.items() if score is not None}
    if not known:
        raise FileError(
            results,
            "has no model with cross-validated scores to choose the best by.",
            f"Train one with autoseg_train {results.name} CONFIGURATION, or name a configuration.",
        )
    return dict(sorted(known.items(), key=lambda entry: (-entry[1], entry[0].name)))


def cross_validated_dice(folder: Path) -> float | None:
    """The mean over folds of the mean Dice in their summary.json; None where no fold has one."""
    from autoseg.evaluation import read_summary

    scores = [read_summary(path).mean_dice for path in sorted(folder.glob("fold_*/summary.json"))]
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None


def _finished(results: Path, pattern: str) -> list[Path]:
    from autoseg.inference.model_files import finished_folds

    folders = results.glob(pattern) if results.is_dir() else ()
    return sorted(folder for folder in folders if finished_folds(folder))
