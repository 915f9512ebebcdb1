"""Variants of one system, scored on the same cases: Dice per class, and paired differences to the first."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.errors import DatasetError
from autoseg.evaluation.bootstrap import Estimate, estimate_differences, estimate_means
from autoseg.evaluation.report import aligned
from autoseg.evaluation.summary import Summary, score_table
from autoseg.files import write_json, write_text

COMPARISON_SCHEMA = 1


@dataclass(frozen=True)
class VariantResult:
    """One variant.

    dice: of each class over cases; mean_dice: of the classes. difference, mean_difference: to the first variant, of the
    same; empty and None for the first itself.
    """

    dice: dict[str, Estimate]
    mean_dice: Estimate
    difference: dict[str, Estimate]
    mean_difference: Estimate | None


@dataclass(frozen=True)
class Comparison:
    """All variants, by name in the order in which they were given.

    what: was varied. cases, classes: that were scored. seeds: trainings of each variant, over which each case's Dice is
    averaged first. dice: per variant (cases, classes), None where a case has none.
    """

    what: str
    cases: tuple[str, ...]
    classes: tuple[str, ...]
    seeds: int
    variants: dict[str, VariantResult]
    dice: dict[str, tuple[tuple[float | None, ...], ...]]
    schema: int = COMPARISON_SCHEMA


def compare(what: str, summaries: Mapping[str, Sequence[Summary]], classes: Sequence[str]) -> Comparison:
    """Compare variants with the first.

    summaries: per variant one summary per seed, all of the same cases. classes: their order. DatasetError where the
    cases differ.
    """
    cases = tuple(next(iter(summaries.values()))[0].cases)
    for name, several in summaries.items():
        for summary in several:
            if tuple(summary.cases) != cases:
                raise DatasetError(
                    f"The variant {name} was scored on other cases than the first.", "Train the same folds of each."
                )
    tables = {name: _over_seeds(several, classes) for name, several in summaries.items()}
    first = next(iter(tables.values()))
    return Comparison(
        what,
        cases,
        tuple(classes),
        min(len(several) for several in summaries.values()),
        {name: _result(first, table, classes) for name, table in tables.items()},
        {name: _plain(table) for name, table in tables.items()},
    )


def _result(first: np.ndarray, table: np.ndarray, classes: Sequence[str]) -> VariantResult:
    dice, mean_dice = estimate_means(table)
    named = dict(zip(classes, dice, strict=True))
    if table is first:
        return VariantResult(named, mean_dice, {}, None)
    difference, mean_difference = estimate_differences(first, table)
    return VariantResult(named, mean_dice, dict(zip(classes, difference, strict=True)), mean_difference)


def _over_seeds(summaries: Sequence[Summary], classes: Sequence[str]) -> np.ndarray:
    """(cases, classes) Dice, the mean over the seeds that have one; NaN where none has."""
    tables = np.stack([score_table(summary.cases, classes, "dice") for summary in summaries])
    counts = np.isfinite(tables).sum(axis=0)
    return np.where(counts > 0, np.nansum(tables, axis=0) / np.maximum(counts, 1), np.nan)


def _plain(table: np.ndarray) -> tuple[tuple[float | None, ...], ...]:
    return tuple(tuple(None if np.isnan(value) else float(value) for value in row) for row in table)


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write comparison.json, comparison.csv (a line per case and class, a column per variant) and comparison.png."""
    from autoseg.evaluation.comparison_picture import draw_comparison

    write_json(folder / "comparison.json", comparison)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("case", "class", *comparison.variants))
    for row, case in enumerate(comparison.cases):
        for column, name in enumerate(comparison.classes):
            values = [comparison.dice[variant][row][column] for variant in comparison.variants]
            writer.writerow((case, name, *("" if value is None else value for value in values)))
    write_text(folder / "comparison.csv", text.getvalue())
    draw_comparison(folder / "comparison.png", comparison)


def format_comparison(comparison: Comparison) -> str:
    """A line per class and one for their mean: Dice of every variant, and the differences to the first."""
    first, *others = comparison.variants
    rows = [["class", *comparison.variants, *(f"{name} - {first} [95 % interval]" for name in others)]]
    for label in comparison.classes:
        dice = [_number(result.dice[label]) for result in comparison.variants.values()]
        rows.append([label, *dice, *(_difference(comparison.variants[name].difference[label]) for name in others)])
    means = [_number(result.mean_dice) for result in comparison.variants.values()]
    rows.append(["mean", *means, *(_difference(comparison.variants[name].mean_difference) for name in others)])
    seeds = f", the mean of {comparison.seeds} seeds" if comparison.seeds > 1 else ""
    remark = (
        f"Dice over {len(comparison.cases)} cases{seeds}, by {comparison.what}. *: the paired interval leaves out 0."
    )
    return "\n".join([*aligned(rows), "", remark])


def _number(estimate: Estimate) -> str:
    return "-" if estimate.mean is None else f"{estimate.mean:.4f}"


def _difference(estimate: Estimate | None) -> str:
    if estimate is None or estimate.mean is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:+.4f}"
    star = "*" if estimate.low > 0 or estimate.high < 0 else " "
    return f"{estimate.mean:+.4f} [{estimate.low:+.4f}, {estimate.high:+.4f}]{star}"
