"""Which model folder of a dataset a configuration stands for."""

from __future__ import annotations

import glob
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg.errors import FileError, OptionError

if TYPE_CHECKING:
    from autoseg.evaluation import ClassScores
    from autoseg.evaluation.trade_off import Bounds, Measured

LOGGER = logging.getLogger(__name__)
BEST = "best"


def find_model(results: Path, configuration: str, *, plans: str = "plans", trainer: str | None = None) -> Path:
    """The folder TRAINER__PLANS__CONFIGURATION below a dataset's results that holds a finished fold.

    configuration: "best" takes the one with the highest cross-validated Dice. trainer: None takes the only one there
    is. Raises PlanningError where the plans are there and have no such configuration, FileError where it is not
    trained, and OptionError, listing them, where several trainers have.
    """
    if configuration == BEST:
        return next(iter(ranked_models(results, plans=plans, trainer=trainer)))
    found = _finished(results, f"{_one(trainer)}__{plans}__{glob.escape(configuration)}")
    if not found:
        known = ", ".join(folder.name for folder in _finished(results, "*__*__*")) or "none"
        _check_planned(results, configuration, plans)
        raise FileError(
            results,
            f"has no trained model of the configuration {configuration!r} (trained: {known}).",
            f"Train it with autoseg_train {results.name} {configuration}.",
        )
    if len(found) > 1:
        trainers = ", ".join(folder.name.split("__")[0] for folder in found)
        raise OptionError(f"{configuration} was trained by several trainers: {trainers}.", "Choose one with --trainer.")
    return found[0]


def _check_planned(results: Path, configuration: str, plans: str) -> None:
    """Training a configuration that the plans do not have is no remedy: tell what they have."""
    from autoseg.plans import read_plans
    from autoseg.workspace import Workspace

    path = Workspace(results.parents[1]).plans_file(results.name, plans)
    if path.exists():
        read_plans(path).configuration_stages(configuration)


def ranked_models(results: Path, *, plans: str = "plans", trainer: str | None = None) -> dict[Path, float]:
    """Model folders and their mean Dice over held-out cases, the best first.

    Over the cases that all of them held out; where they share none, over each one's own, with a warning.
    """
    held_out = {folder: held_out_scores(folder) for folder in _finished(results, f"{_one(trainer)}__{plans}__*")}
    held_out = {folder: cases for folder, cases in held_out.items() if cases}
    shared = set.intersection(*map(set, held_out.values())) if held_out else set()
    if held_out and not shared:
        LOGGER.warning("The models share no held-out case: their Dice is of different cases. Train the same folds.")
    scores = {folder: _mean_dice(cases, shared or set(cases)) for folder, cases in held_out.items()}
    known = {folder: score for folder, score in scores.items() if score is not None}
    if not known:
        raise FileError(
            results,
            "has no model with cross-validated scores to choose the best by.",
            f"Train one with autoseg_train {results.name} CONFIGURATION, or name a configuration.",
        )
    return dict(sorted(known.items(), key=lambda entry: (-entry[1], entry[0].name)))


def trained_models(results: Path, configuration: str = "*", *, plans: str = "plans") -> list[Path]:
    """All model folders of the plans that hold a finished fold, by name. configuration: "*" for any."""
    pattern = configuration if configuration == "*" else glob.escape(configuration)
    return _finished(results, f"*__{plans}__{pattern}")


def best_measured(results: Path, bounds: Bounds, *, plans: str, asked: Mapping[str, str]) -> Measured:
    """The best model and engine within bounds, of those that autoseg_compare --trade-off measured for these plans.

    asked: what it has to be, any of --trainer, --backend, --precision and --device. Warns where another processor or
    number of threads was measured than there now is. Raises FileError where nothing was measured, or where the model
    was trained anew since, and OptionError where nothing is what was asked for, or within bounds.
    """
    from autoseg.evaluation.trade_off import TRADE_OFF, best_within, read_trade_off, trade_off_folder

    path = trade_off_folder(results) / TRADE_OFF
    measure = f"Run autoseg_compare {results.name} --trade-off."
    if not path.exists():
        raise FileError(results, "has no measurements to choose a model by.", measure)
    trade_off = read_trade_off(path)
    if trade_off.plans != plans:
        raise FileError(
            path, f"was measured of the plans {trade_off.plans!r}.", f"{measure[:-1]} --plans-name {plans}."
        )
    _warn_of_others(path, trade_off.machine)
    allowed = [one for one in trade_off.measured if asked.items() <= _facts(one).items()]
    if not allowed:
        told = " ".join(f"{option} {value}" for option, value in asked.items())
        raise OptionError(f"Nothing was measured with {told}.", f"Leave that out, or measure it with {measure[4:]}")
    chosen = best_within(allowed, bounds)
    _check_unchanged(results / chosen.model, chosen, measure)
    return chosen


def _warn_of_others(path: Path, measured: Mapping[str, Any]) -> None:
    """Tell where a machine of the same name and generation, with the same number of threads, was not what measured."""
    from autoseg.runtime.cache import machine

    here = machine()
    if any(measured.get(name) != here[name] for name in ("processor", "generation")):
        LOGGER.warning("%s was measured on another machine; its seconds may be others here.", path)
    elif measured.get("threads") != here["threads"]:
        told = "%s was measured with --threads %s, not %s; its seconds may be others here."
        LOGGER.warning(told, path, measured.get("threads"), here["threads"])


def _facts(one: Measured) -> dict[str, str]:
    """What autoseg_predict can be asked for of a measurement."""
    trainer = one.model.split("__")[0]
    return {"--trainer": trainer, "--backend": one.backend, "--precision": one.precision, "--device": one.device}


def _check_unchanged(folder: Path, chosen: Measured, remedy: str) -> None:
    from autoseg.inference.model_costs import networks_checksum
    from autoseg.inference.model_files import read_model_files

    files = read_model_files(folder, folds=chosen.folds)
    if networks_checksum(files, chosen.precision) != chosen.networks:
        raise FileError(folder, "was trained anew since it was measured.", remedy)


def held_out_scores(folder: Path) -> dict[str, dict[str, ClassScores]]:
    """The scores per held-out case and class in the summary.json of all folds."""
    from autoseg.evaluation import read_summary

    summaries = [read_summary(path) for path in sorted(folder.glob("fold_*/summary.json"))]
    return {case: dict(scores) for summary in summaries for case, scores in summary.cases.items()}


def _mean_dice(cases: dict[str, dict[str, ClassScores]], chosen: set[str]) -> float | None:
    from autoseg.evaluation import summarize

    return summarize({case: scores for case, scores in cases.items() if case in chosen}).mean_dice


def _one(trainer: str | None) -> str:
    """The pattern of one trainer, or of any."""
    return "*" if trainer is None else glob.escape(trainer)


def _finished(results: Path, pattern: str) -> list[Path]:
    from autoseg.inference.model_files import finished_folds

    folders = results.glob(pattern) if results.is_dir() else ()
    return sorted(folder for folder in folders if finished_folds(folder))
