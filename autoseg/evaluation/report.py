"""An evaluation as a file for programs (JSON), one for spreadsheets (CSV), and a table for eyes."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from autoseg.evaluation.bootstrap import Estimate
from autoseg.evaluation.scores import other_sides
from autoseg.evaluation.summary import ClassSummary, Summary
from autoseg.files import read_artefact, write_json, write_text

REPORT_SCHEMA = 1
CSV_COLUMNS = (
    "status",
    "dice",
    "iou",
    "true_positives",
    "false_positives",
    "false_negatives",
    "predicted_mm3",
    "reference_mm3",
    "volume_difference_mm3",
    "hd95_mm",
    "assd_mm",
    "surface_dice",
    "other_side_voxels",
)


@dataclass(frozen=True)
class Report:
    """The evaluation of a folder.

    predictions, references: where the files were. dataset_json: what named the classes, None where their values did.
    missing: cases that have no prediction, and no score. extra: predictions that have no reference.
    """

    predictions: str
    references: str
    dataset_json: str | None
    summary: Summary
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    schema: int = REPORT_SCHEMA


def write_report(path: Path, report: Report) -> None:
    """Write evaluation.json whole or not at all."""
    write_json(path, report)


def read_report(path: Path) -> Report:
    """Read an evaluation.json; FormatError names the key that is unknown, missing or wrong."""
    return read_artefact(Report, path, remedy="Run autoseg_evaluate again.")


def write_csv(path: Path, summary: Summary) -> None:
    """Write a line per case and class; what has no value is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("case", "class", *CSV_COLUMNS))
    for case, classes in summary.cases.items():
        for name, scores in classes.items():
            values = [getattr(scores, column) for column in CSV_COLUMNS]
            writer.writerow((case, name, *("" if value is None else value for value in values)))
    write_text(path, text.getvalue())


def format_table(report: Report) -> str:
    """A line per class and one for their mean, and below it what the figures mean."""
    summary = report.summary
    surface = summary.tolerance_mm is not None
    head = ["class", "Dice [95 % interval]", "IoU"]
    if summary.tolerance_mm is not None:
        head += ["HD95 mm", "ASSD mm", f"surface Dice {summary.tolerance_mm:g} mm"]
    rows = [[*head, "cases", "missed", "false alarm", "both empty"]]
    for name, scores in summary.classes.items():
        rows.append([name, *_figures(scores.means, surface=surface), *_counts(scores)])
    rows.append(["mean", *_figures(summary.overall, surface=surface), str(len(summary.cases)), "", "", ""])
    return "\n".join([*aligned(rows), "", *_remarks(report)])


def _figures(means: dict[str, Estimate], *, surface: bool) -> list[str]:
    dice = means["dice"]
    interval = f" [{dice.low:.3f}, {dice.high:.3f}]" if dice.low is not None and dice.high is not None else ""
    figures = [_number(dice, 4) + interval, _number(means.get("iou"), 4)]
    if surface:
        figures += [_number(means.get(name), digits) for name, digits in (("hd95_mm", 2), ("assd_mm", 3))]
        figures.append(_number(means.get("surface_dice"), 4))
    return figures


def _number(estimate: Estimate | None, digits: int) -> str:
    return "-" if estimate is None or estimate.mean is None else f"{estimate.mean:.{digits}f}"


def _counts(scores: ClassSummary) -> list[str]:
    return [str(n) for n in (scores.cases, scores.missed, scores.false_alarms, scores.both_empty)]


def aligned(rows: list[list[str]]) -> list[str]:
    """Columns of one width, the first to the left and the others to the right, with a line below the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    rule = "  ".join("-" * width for width in widths)
    return [lines[0], rule, *lines[1:-1], rule, lines[-1]]


def _on_the_other_side(summary: Summary) -> list[str]:
    """How often left is called right: for every class where that happened, or that it never did."""
    partners = other_sides(tuple(summary.classes))
    found: dict[str, list[int]] = {}
    for scores in summary.cases.values():
        for name, one in scores.items():
            if one.other_side_voxels is not None:
                found.setdefault(name, []).append(one.other_side_voxels)
    if not found:
        return []
    wrong = {name: [voxels for voxels in counts if voxels] for name, counts in found.items()}
    told = [
        f"{name}: {sum(voxels)} voxels in {len(voxels)} of {len(found[name])} cases lie where the reference has "
        f"{partners[name]}."
        for name, voxels in wrong.items()
        if voxels
    ]
    return told or ["Left is nowhere called right: no voxel of a class lies in the reference of the other side's."]


def _remarks(report: Report) -> list[str]:
    classes = report.summary.classes.values()
    remarks = ["Means are over cases; the last line is the mean over classes. Intervals: bootstrap over cases."]
    if any(scores.missed or scores.false_alarms for scores in classes):
        remarks.append("A missed class or a false alarm counts with Dice 0; its distance is infinite and in no mean.")
    if any(scores.both_empty for scores in classes):
        remarks.append("Both empty: neither the reference nor the prediction has the class; this is in no mean.")
    if any(scores.cases < len(report.summary.cases) for scores in classes):
        remarks.append("A class that was not contoured in a case is left out there.")
    remarks += _on_the_other_side(report.summary)
    if report.dataset_json is None:
        remarks.append("No dataset.json was found: classes are named by their values.")
    if report.missing:
        remarks.append(f"{len(report.missing)} cases have no prediction and are not scored.")
    return remarks
