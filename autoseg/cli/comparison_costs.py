"""What the variants of a comparison cost: weights, time of training and time of prediction, whole and by part."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.durations import duration
from autoseg.evaluation.report import aligned
from autoseg.files import read_artefact, write_json
from autoseg.inference.model_files import ModelFiles, held_out_seconds, read_model_files
from autoseg.plans import StagePlan

ORGANS = "organs"
"""The part of a configuration that segments organs one by one, however many networks it has."""


@dataclass(frozen=True)
class PartCost:
    """Of a stage, or of all that segment organs: means over the seeds of a variant.

    weights: of the networks that predict with one fold; what organs share counts once. training_seconds: of every
    training in the model folder, as far as it was logged. seconds_per_held_out_case: of predicting a validation case of
    the folds in training, from its prepared form; None where that was not recorded.
    """

    weights: float
    training_seconds: float
    seconds_per_held_out_case: float | None


@dataclass(frozen=True)
class VariantCost:
    """Of all parts together, and of each by its name. seconds_per_case: of a test case, file to file; else None."""

    weights: float
    training_seconds: float
    seconds_per_held_out_case: float | None
    seconds_per_case: float | None
    parts: dict[str, PartCost]


def cost_of(model: Path, folds: Sequence[str], predicted: Path | None) -> VariantCost:
    """The cost of a trained model folder. predicted: its folder of predicted test cases, if there are any."""
    from autoseg.inference.manifest import MANIFEST, Manifest

    files = read_model_files(model, folds=folds[:1])
    parts = {name: _part_cost(files, name, folds) for name in dict.fromkeys(map(_part, files.stages))}
    whole = _together(parts.values())
    per_case = None
    if predicted is not None:
        seconds = read_artefact(Manifest, predicted / MANIFEST, remedy="Predict again.").seconds
        per_case = _mean(seconds.values())
    return VariantCost(whole.weights, whole.training_seconds, whole.seconds_per_held_out_case, per_case, parts)


def mean_cost(costs: Sequence[VariantCost]) -> VariantCost:
    """The mean over seeds; at least one."""
    parts = {name: _mean_part([cost.parts[name] for cost in costs]) for name in costs[0].parts}
    whole = _together(parts.values())
    per_case = _mean([cost.seconds_per_case for cost in costs])
    return VariantCost(whole.weights, whole.training_seconds, whole.seconds_per_held_out_case, per_case, parts)


def write_costs(folder: Path, costs: Mapping[str, VariantCost]) -> None:
    """Write costs.json, by the value of the option that is varied."""
    write_json(folder / "costs.json", dict(costs))


def format_costs(what: str, costs: Mapping[str, VariantCost]) -> str:
    """A line per variant, followed by one for each of its parts where it has several."""
    rows = [[what, "weights", "training", "held-out case", "test case"]]
    for value, cost in costs.items():
        rows.append([value, *_cells(cost), _seconds(cost.seconds_per_case)])
        if len(cost.parts) > 1:
            rows += [[f"  {name}", *_cells(part), ""] for name, part in cost.parts.items()]
    *lines, _, last = aligned(rows)  # without the rule above the last line, which is no sum here
    return "\n".join([*lines, last])


def _part(stage: StagePlan) -> str:
    return ORGANS if stage.region is not None else stage.name


def _part_cost(files: ModelFiles, name: str, folds: Sequence[str]) -> PartCost:
    from autoseg.networks.storage import count_weights

    stages = [(stage, paths) for stage, paths in zip(files.stages, files.weights, strict=True) if _part(stage) == name]
    networks = {path for _, paths in stages for path in paths}
    trained = sum(_training_seconds(files, {stage.network_name for stage, _ in stages}))
    is_last = name == _part(files.stages[-1])
    place = files.folder if is_last else files.folder / "stages" / name
    held_out = [seconds for fold in folds for seconds in held_out_seconds(place / f"fold_{fold}").values()]
    return PartCost(sum(map(count_weights, networks)), trained, _mean(held_out))


def _training_seconds(files: ModelFiles, networks: Collection[str]) -> Iterator[float]:
    """Of each logged training of these networks. The last stage's lie on top of the folder, others below stages/."""
    for path in sorted(files.folder.rglob("training.jsonl")):
        within, lines = path.relative_to(files.folder).parts, path.read_text(encoding="utf-8").splitlines()
        named = within[within.index("stages") + 1] if "stages" in within else files.stages[-1].network_name
        if lines and named in networks:
            yield float(json.loads(lines[-1])["seconds"])


def _together(parts: Collection[PartCost]) -> PartCost:
    seconds = [part.seconds_per_held_out_case for part in parts]
    known = [each for each in seconds if each is not None]
    return PartCost(
        sum(part.weights for part in parts),
        sum(part.training_seconds for part in parts),
        sum(known) if len(known) == len(seconds) else None,
    )


def _mean_part(parts: Sequence[PartCost]) -> PartCost:
    return PartCost(
        sum(part.weights for part in parts) / len(parts),
        sum(part.training_seconds for part in parts) / len(parts),
        _mean([part.seconds_per_held_out_case for part in parts]),
    )


def _mean(values: Collection[float | None]) -> float | None:
    """Of those that are known; None without any."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _cells(cost: PartCost | VariantCost) -> list[str]:
    return [f"{cost.weights / 1e6:.2f} M", duration(cost.training_seconds), _seconds(cost.seconds_per_held_out_case)]


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"
