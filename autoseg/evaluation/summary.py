"""The scores of many cases, and what they come to per class and over all classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.evaluation.bootstrap import Estimate, estimate_means
from autoseg.evaluation.scores import BOTH_EMPTY, FALSE_ALARM, FOUND, MISSED, ClassScores
from autoseg.files import read_artefact, write_json

SUMMARY_SCHEMA = 1
METRICS = ("dice", "iou", "hd95_mm", "assd_mm", "surface_dice", "volume_difference_mm3")


@dataclass(frozen=True)
class ClassSummary:
    """One class over all cases.

    cases: in which it was contoured; found, missed, false_alarms, both_empty: how many of these were what (see
    ClassScores.status). means: per name in METRICS, over the cases that have a value; a metric that no case has been
    measured for is left out.
    """

    cases: int
    found: int
    missed: int
    false_alarms: int
    both_empty: int
    means: dict[str, Estimate]


@dataclass(frozen=True)
class Summary:
    """A set of cases, scored.

    cases: case to class to scores, sorted by case. classes: what each class comes to. overall: per metric the mean over
    classes of the classes' means. tolerance_mm: of the surface Dice, None where surfaces were not measured.
    """

    cases: dict[str, dict[str, ClassScores]]
    classes: dict[str, ClassSummary]
    overall: dict[str, Estimate]
    tolerance_mm: float | None = None
    schema: int = SUMMARY_SCHEMA

    @property
    def mean_dice(self) -> float | None:
        """The mean over classes of the mean Dice over cases; None where no class has a Dice."""
        return self.overall["dice"].mean


def summarize(
    cases: Mapping[str, Mapping[str, ClassScores]],
    *,
    names: Sequence[str] = (),
    tolerance_mm: float | None = None,
) -> Summary:
    """Take the means with their bootstrap intervals. Cases may lack classes: those were not contoured.

    names: the order of the classes; classes that it lacks follow in the order of their first appearance.
    Two empty masks count for no mean: they are reported as both_empty. A missed class, or one that should not be there,
    counts with a Dice of 0; its surface distance is infinite and only counted.
    """
    ordered = {case: dict(cases[case]) for case in sorted(cases)}
    found = dict.fromkeys(name for scores in ordered.values() for name in scores)
    ranked = [name for name in dict.fromkeys([*names, *found]) if name in found]
    means: dict[str, dict[str, Estimate]] = {name: {} for name in ranked}
    overall = {}
    for metric in METRICS:
        columns, over_classes = estimate_means(score_table(ordered, ranked, metric))
        if over_classes.count == 0 and metric != "dice":
            continue
        overall[metric] = over_classes
        for name, column in zip(ranked, columns, strict=True):
            means[name][metric] = column
    classes = {name: _class_summary(ordered, name, means[name]) for name in ranked}
    return Summary(ordered, classes, overall, tolerance_mm)


def read_summary(path: Path) -> Summary:
    """Read a summary.json; FormatError names the key that is unknown, missing or wrong."""
    return read_artefact(Summary, path, remedy="Evaluate again.")


def write_summary(path: Path, summary: Summary) -> None:
    """Write a summary.json whole or not at all."""
    write_json(path, summary)


def score_table(cases: Mapping[str, Mapping[str, ClassScores]], names: Sequence[str], metric: str) -> np.ndarray:
    """(cases, classes) of one metric, NaN where there is no value."""
    table = np.full((len(cases), len(names)), np.nan)
    for row, scores in enumerate(cases.values()):
        for column, name in enumerate(names):
            if name in scores and scores[name].status != BOTH_EMPTY:
                value = getattr(scores[name], metric)
                table[row, column] = np.nan if value is None else value
    return table


def _class_summary(
    cases: Mapping[str, Mapping[str, ClassScores]], name: str, means: dict[str, Estimate]
) -> ClassSummary:
    statuses = [scores[name].status for scores in cases.values() if name in scores]
    return ClassSummary(
        cases=len(statuses),
        found=statuses.count(FOUND),
        missed=statuses.count(MISSED),
        false_alarms=statuses.count(FALSE_ALARM),
        both_empty=statuses.count(BOTH_EMPTY),
        means=means,
    )
