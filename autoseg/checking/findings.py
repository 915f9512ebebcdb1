"""What a check finds, how grids may differ, and the table that tells it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.dataset import Case, Dataset
from autoseg.errors import AutosegError
from autoseg.geometry import Geometry
from autoseg.io.storage import corner_tolerance_mm

WHOLE_DATASET = "(dataset)"
SAME_GRID_TOLERANCE_MM = 1e-2


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. severity: "error" (nothing can be computed) or "warning". case: its id, or (dataset)."""

    severity: str
    case: str
    fact: str
    remedy: str

    @property
    def is_error(self) -> bool:
        """Whether it stops the commands."""
        return self.severity == "error"


@dataclass(frozen=True)
class GridDifference:
    """How two grids differ. is_error: by so much that their voxels do not belong together."""

    is_error: bool
    fact: str


def grid_difference(first: Geometry, other: Geometry) -> GridDifference | None:
    """How the grid of `other` differs from the grid of `first`; None where they agree.

    Another shape, or corner voxels further apart than autoseg.io takes for the same place (a quarter of the smallest
    voxel), are errors. Less is a warning: headers round.
    """
    if first.shape != other.shape:
        return GridDifference(True, f"shape {_times(first.shape)} against {_times(other.shape)} voxels (z, y, x)")
    distance_mm = first.corner_distance_mm(other)
    if distance_mm <= SAME_GRID_TOLERANCE_MM:
        return None
    what = f"corner voxels {distance_mm:.3g} mm apart"
    if not np.allclose(first.spacing_mm, other.spacing_mm, rtol=1e-3):
        what += f", spacing {_times(first.spacing_mm)} against {_times(other.spacing_mm)} mm (z, y, x)"
    elif not np.allclose(first.direction, other.direction, atol=1e-3):
        what += ", other direction"
    return GridDifference(distance_mm > corner_tolerance_mm(first.spacing_mm), what)


def format_findings(findings: Sequence[Finding]) -> str:
    """The findings as a table of text, with the number of errors and warnings below."""
    if not findings:
        return "No findings: the dataset is in order."
    case_width = max(4, *(len(finding.case) for finding in findings))
    lines = [_row(("severity", "case", "finding", "what to do"), case_width)]
    lines += [_row((f.severity, f.case, f.fact, f.remedy), case_width) for f in findings]
    errors = sum(finding.is_error for finding in findings)
    return "\n".join([*lines, f"{counted(errors, 'error')}, {counted(len(findings) - errors, 'warning')}"])


def _row(cells: tuple[str, str, str, str], case_width: int) -> str:
    widths = (8, case_width, 60, 50)
    wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, widths, strict=True)]
    height = max(len(cell) for cell in wrapped)
    rows = (
        "  ".join((cell[i] if i < len(cell) else "").ljust(width) for cell, width in zip(wrapped, widths, strict=True))
        for i in range(height)
    )
    return "\n".join(row.rstrip() for row in rows)


def counted(number: int, noun: str) -> str:
    """1 case, 2 cases."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _times(numbers: Iterable[float]) -> str:
    return "x".join(f"{number:g}" for number in numbers)


def compare_grids(case: Case, first: tuple[Path, Geometry], other: tuple[Path, Geometry]) -> Iterator[Finding]:
    """The finding, if any, that two files of a case lie on different grids."""
    difference = grid_difference(first[1], other[1])
    if difference is not None:
        fact = f"{first[0].name} and {other[0].name} lie on different grids: {difference.fact}."
        remedy = "Resample one of them, or correct the wrong header." if difference.is_error else "Correct the header."
        yield Finding("error" if difference.is_error else "warning", case.id, fact, remedy)


def unusable(case: Case, dataset: Dataset, error: AutosegError) -> Finding:
    """The finding that a file cannot be read; paths are told within the dataset's folder."""
    return Finding("error", case.id, error.fact.replace(f"{dataset.folder}/", ""), error.remedy)
