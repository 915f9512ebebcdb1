"""What the variants of a comparison cost: weights, time of training and time of prediction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.evaluation.report import aligned
from autoseg.files import read_artefact, write_json
from autoseg.inference.model_files import read_model_files
from autoseg.training.reporting import duration


@dataclass(frozen=True)
class VariantCost:
    """Means over the seeds of a variant.

    weights: of the networks that predict with one fold, those of earlier stages and of every organ among them; what
    organs share counts once. training_seconds: of every training in the model folder, as far as it was logged.
    seconds_per_case: of predicting a test case; None without test cases.
    """

    weights: float
    training_seconds: float
    seconds_per_case: float | None


def cost_of(model: Path, fold: str, predicted: Path | None) -> VariantCost:
    """The cost of a trained model folder. predicted: its folder of predicted test cases, if there are any."""
    from autoseg.inference.manifest import MANIFEST, Manifest
    from autoseg.networks.storage import count_weights

    files = read_model_files(model, folds=[fold])
    networks = {path for paths in files.weights for path in paths}
    per_case = None
    if predicted is not None:
        seconds = read_artefact(Manifest, predicted / MANIFEST, remedy="Predict again.").seconds
        per_case = sum(seconds.values()) / len(seconds)
    logs = [path.read_text(encoding="utf-8").splitlines() for path in sorted(model.rglob("training.jsonl"))]
    trained = sum(float(json.loads(lines[-1])["seconds"]) for lines in logs if lines)
    return VariantCost(sum(map(count_weights, networks)), trained, per_case)


def mean_cost(costs: Sequence[VariantCost]) -> VariantCost:
    """The mean over seeds; at least one."""
    predicted = [cost.seconds_per_case for cost in costs if cost.seconds_per_case is not None]
    return VariantCost(
        sum(cost.weights for cost in costs) / len(costs),
        sum(cost.training_seconds for cost in costs) / len(costs),
        sum(predicted) / len(predicted) if predicted else None,
    )


def write_costs(folder: Path, costs: Mapping[str, VariantCost]) -> None:
    """Write costs.json, by the value of the option that is varied."""
    write_json(folder / "costs.json", dict(costs))


def format_costs(what: str, costs: Mapping[str, VariantCost]) -> str:
    """A line per variant."""
    rows = [[what, "weights", "training", "prediction per case"]]
    for value, cost in costs.items():
        per_case = "-" if cost.seconds_per_case is None else f"{cost.seconds_per_case:.1f} s"
        rows.append([value, f"{cost.weights / 1e6:.2f} M", duration(cost.training_seconds), per_case])
    return "\n".join(aligned(rows))
