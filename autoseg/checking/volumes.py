"""What needs the volumes of a training case: intensities, label values, grids."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.checking.findings import Finding, compare_grids, unusable
from autoseg.checking.layout import check_files
from autoseg.dataset import Case, Dataset
from autoseg.errors import AutosegError
from autoseg.geometry import Geometry
from autoseg.io import Volume, read_image, read_labels

Look = Callable[[Case, Volume, Volume], None]
SLAB_VOXELS = 1 << 22
VALUES_SHOWN = 8


@dataclass(frozen=True)
class CaseReport:
    """What the whole needs to know about a case. content: a checksum of its images, None where they cannot be read.

    present: classes with at least one voxel; None where the label cannot be read.
    """

    findings: tuple[Finding, ...]
    content: str | None
    present: frozenset[str] | None


def check_case(case: Case, dataset: Dataset, look: Look | None = None) -> CaseReport:
    """Read a training case whole, one channel at a time, and tell what is wrong with it.

    look: is given image and labels, which are in memory then, where the case has one channel and no error.
    """
    findings = list(check_files(case, dataset))
    digest = hashlib.blake2b(digest_size=16)
    first: tuple[Path, Geometry] | None = None
    complete, constant = not findings, 0
    volume: Volume | None = None
    for path in (path for path in case.images if path.exists()):
        try:
            volume = read_image([path])
        except AutosegError as error:
            findings.append(unusable(case, dataset, error))
            complete = False
            continue
        first = first or (path, volume.geometry)
        findings += compare_grids(case, first, (path, volume.geometry))
        facts = _examine_image(volume.array, digest)
        constant += facts.is_constant
        findings += _image_findings(case, path, facts)
    if case.images and constant == len(case.images):
        findings.append(Finding("error", case.id, "All its images are constant.", "Replace or remove the case."))
    label_findings, present, label = _check_label(case, dataset, first)
    findings += label_findings
    sound = not any(finding.is_error for finding in findings)
    if look is not None and sound and len(case.images) == 1 and volume is not None and label is not None:
        look(case, volume, label)
    return CaseReport(tuple(findings), digest.hexdigest() if complete else None, present)


@dataclass(frozen=True)
class _ImageFacts:
    nan: int
    infinite: int
    is_constant: bool


def _examine_image(array: np.ndarray, digest: hashlib.blake2b) -> _ImageFacts:
    """Count what is not finite and feed the checksum, slab by slab. array: (C, Z, Y, X) float32."""
    nan = infinite = 0
    low, high = np.inf, -np.inf
    digest.update(repr(array.shape).encode())
    for slab in _slabs(array.reshape(-1)):
        digest.update(slab.data)
        lowest, highest = float(slab.min()), float(slab.max())
        if not np.isfinite([lowest, highest]).all():
            nan += int(np.isnan(slab).sum())
            infinite += int(np.isinf(slab).sum())
        low, high = min(low, lowest), max(high, highest)
    return _ImageFacts(nan, infinite, nan == 0 and low == high)


def _image_findings(case: Case, path: Path, facts: _ImageFacts) -> Iterator[Finding]:
    if facts.nan or facts.infinite:
        fact = f"{path.name} holds {facts.nan} NaN and {facts.infinite} infinite voxels."
        yield Finding("error", case.id, fact, "Replace them by the value of the background.")
    elif facts.is_constant:
        yield Finding("warning", case.id, f"{path.name} is constant.", "Check how it was made.")


def _check_label(
    case: Case, dataset: Dataset, first: tuple[Path, Geometry] | None
) -> tuple[list[Finding], frozenset[str] | None, Volume | None]:
    """The findings of a label file, the classes in it, and what was read. first: the grid of the first image."""
    if case.label is None or not case.label.exists():
        return [], None, None
    try:
        volume = read_labels(case.label)
    except AutosegError as error:
        return [unusable(case, dataset, error)], None, None
    findings = list(compare_grids(case, first, (case.label, volume.geometry))) if first else []
    counts = _count_values(volume)
    findings += _check_values(case, dataset, counts)
    classes = dataset.labels.classes.items()
    return findings, frozenset(name for name, values in classes if any(value in counts for value in values)), volume


def _count_values(volume: Volume) -> dict[int, int]:
    """Voxels of each value of a label volume, (Z, Y, X) int16."""
    total = np.zeros(1 << 16, dtype=np.int64)
    for slab in _slabs(volume.array.reshape(-1)):
        total += np.bincount(slab.astype(np.int64) + (1 << 15), minlength=1 << 16)
    return {int(index) - (1 << 15): int(total[index]) for index in np.flatnonzero(total)}


def _check_values(case: Case, dataset: Dataset, counts: dict[int, int]) -> Iterator[Finding]:
    labels = dataset.labels
    unknown = [value for value in counts if value not in labels.values]
    if unknown:
        shown = ", ".join(map(str, unknown[:VALUES_SHOWN])) + (", ..." if len(unknown) > VALUES_SHOWN else "")
        voxels = sum(counts[value] for value in unknown)
        fact = f"The label holds values that dataset.json does not declare: {shown} (voxels: {voxels})."
        yield Finding("error", case.id, fact, "Declare them in labels, or correct the label file.")
    if not set(counts) - {0, labels.ignore}:
        yield Finding("warning", case.id, "The label is empty.", "Check that nothing is to be found in this case.")
    for name in case.not_contoured:
        if any(value in counts for value in labels.classes[name]):
            fact = f"{name} is listed as not contoured, but the label holds it."
            yield Finding("warning", case.id, fact, "Correct not_contoured: what is there is not learned from.")


def _slabs(flat: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, flat.size, SLAB_VOXELS):
        yield flat[start : start + SLAB_VOXELS]
