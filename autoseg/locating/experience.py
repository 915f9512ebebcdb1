"""What the training cases taught: how far the locator errs, and where organs lie relative to each other."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.files import read_artefact, write_json
from autoseg.geometry import Box, Geometry, Triple
from autoseg.locating.boxes import CaseBoxes

EXPERIENCE_SCHEMA = 1
REACH = 0.95
"""Of the cases, that margins and sizes suffice for; with fewer than twenty cases: of all."""
SPREADS = 2.0
"""How many standard deviations around its expected place an organ is looked for."""
LEAST_SPREAD_MM = 2.0
"""Between organs; a few cases that agree by chance are not trusted further."""
FEWEST_CASES = 3
"""From which an offset counts beside others: one case has no spread, and two have next to none to go by."""


@dataclass(frozen=True)
class Offset:
    """From the middle of another organ's box to this one's, over the cases that have both: world (x, y, z) in mm.

    spread_mm: the standard deviation to expect of a further case, sqrt(v (n + 1) / (n - 1)) where n cases have the
    variance v, and 0 of a single one. cases: how many they are; files from before they were counted are trusted.
    """

    mean_mm: Triple
    spread_mm: Triple
    cases: int = FEWEST_CASES


@dataclass(frozen=True)
class OrganExperience:
    """What is known about finding one organ.

    margin_low_mm, margin_high_mm: to add to the located box at the low and the high end of each axis. size_mm: edges
    of a large one's box. offsets: by the other organ's name. cases: that have it; found: by the locator, of these;
    held: how many of these the located box with its margins holds whole.
    """

    margin_low_mm: Triple
    margin_high_mm: Triple
    size_mm: Triple
    offsets: dict[str, Offset]
    cases: int
    found: int
    held: int


@dataclass(frozen=True)
class Experience:
    """Of all organs, by class name."""

    organs: dict[str, OrganExperience]
    schema: int = EXPERIENCE_SCHEMA

    def expected_box(self, organ: str, found: Mapping[str, Box], geometry: Geometry) -> Box | None:
        """Where an organ should be, judged by those that were found; None where nothing tells.

        Every found organ that was seen together with it in training votes for the middle of its box with the weight
        1 / variance; half an edge of the box is half the organ's large size and SPREADS mean standard deviations. It
        may reach outside the volume. What was seen together in fewer than FEWEST_CASES votes where no other does.
        """
        known = self.organs[organ]
        votes = {name: known.offsets[name] for name in found if name in known.offsets}
        votes = {name: offset for name, offset in votes.items() if offset.cases >= FEWEST_CASES} or votes
        if not votes:
            return None
        places = np.array([_middle(found[name], geometry) + offset.mean_mm for name, offset in votes.items()])
        variances = np.maximum([offset.spread_mm for offset in votes.values()], LEAST_SPREAD_MM) ** 2
        weights = (1 / variances) / (1 / variances).sum(axis=0)
        spread = np.sqrt((weights * variances).sum(axis=0))
        middle = geometry.world_to_voxel((weights * places).sum(axis=0))
        along_axes = np.abs(np.asarray(geometry.direction)) @ spread
        half = (np.asarray(known.size_mm) / 2 + SPREADS * along_axes) / geometry.spacing_mm
        return Box(
            tuple(math.floor(edge) for edge in middle - half + 0.5),
            tuple(math.ceil(edge) for edge in middle + half + 0.5),
        )

    def most_expected_mm(self, organ: str) -> np.ndarray:
        """(3,) mm, what the edges of an expected box come to at most in a volume along the world's axes."""
        known = self.organs[organ]
        spread_mm = max([LEAST_SPREAD_MM, *(max(offset.spread_mm) for offset in known.offsets.values())])
        return np.asarray(known.size_mm) + 2 * SPREADS * spread_mm

    def with_margins(self, organ: str, box: Box, geometry: Geometry) -> Box:
        """A located box grown by the organ's margins; it may reach outside the volume."""
        known = self.organs[organ]
        low, high = (_voxels(m, geometry) for m in (known.margin_low_mm, known.margin_high_mm))
        return Box(
            tuple(a - m for a, m in zip(box.start, low, strict=True)),
            tuple(b + m for b, m in zip(box.stop, high, strict=True)),
        )


def learn(
    cases: Sequence[CaseBoxes],
    organs: Sequence[str],
    *,
    voxel_mm: Triple,
    first_guess_mm: Mapping[str, Triple],
    given: Collection[str] = (),
) -> Experience:
    """Measure margins, sizes and offsets over training cases.

    voxel_mm: of the locator's grid, the least margin. first_guess_mm: margins of organs that the locator found nowhere,
    and of those that are given: theirs are not measured. A located box that does not touch the true one is a miss, not
    an error of its ends.
    """
    middles = [{name: _middle(box, case.geometry) for name, box in case.true.items()} for case in cases]
    voxels = {name: None if name in given else voxel_mm for name in organs}
    return Experience({name: _learn_organ(name, cases, middles, voxels[name], first_guess_mm[name]) for name in organs})


def joined(experiences: Sequence[Experience]) -> Experience:
    """Of several folds as one: the larger margins, sizes and spreads; the mean of the offsets; counts are added.

    Of the cases of an offset the most of one fold count: folds share training cases.
    """
    names = experiences[0].organs
    return Experience({name: _joined([one.organs[name] for one in experiences]) for name in names})


def read_experience(path: Path) -> Experience:
    """Read an organs.json; FormatError names a key that is unknown, missing or wrong."""
    return read_artefact(Experience, path, remedy="Train the fold again with --restart.")


def write_experience(path: Path, experience: Experience) -> None:
    """Write an organs.json whole or not at all."""
    write_json(path, experience)


def _learn_organ(
    name: str,
    cases: Sequence[CaseBoxes],
    middles: Sequence[dict[str, np.ndarray]],
    voxel_mm: Triple | None,
    first_guess_mm: Triple,
) -> OrganExperience:
    """voxel_mm: None where the first guess holds."""
    having = [case for case in cases if name in case.true]
    errors = np.array([_errors_mm(case, name) for case in having if _is_found(case, name)]).reshape(-1, 2, 3)
    margins = np.array([first_guess_mm, first_guess_mm], dtype=float)
    if len(errors) and voxel_mm is not None:
        margins = _enough(np.maximum(errors, 0)) + np.asarray(voxel_mm)
    sizes = [np.multiply(case.true[name].shape, case.geometry.spacing_mm) for case in having]
    others = {other for places in middles for other in places} - {name}
    offsets = {other: _offset(name, other, middles) for other in sorted(others)}
    return OrganExperience(
        _triple(margins[0]),
        _triple(margins[1]),
        _triple(_enough(np.array(sizes)) if sizes else np.multiply(first_guess_mm, 2)),
        {other: offset for other, offset in offsets.items() if offset is not None},
        cases=len(having),
        found=len(errors),
        held=int((errors <= margins).all(axis=(1, 2)).sum()),
    )


def _is_found(case: CaseBoxes, name: str) -> bool:
    if name not in case.located:
        return False
    true, located = case.true[name], case.located[name]
    starts, stops = np.maximum(true.start, located.start), np.minimum(true.stop, located.stop)
    return bool((starts < stops).all())


def _errors_mm(case: CaseBoxes, name: str) -> np.ndarray:
    """(2, 3) mm by which the truth reaches beyond the located box, at the low and the high end of each axis."""
    true, located = case.true[name], case.located[name]
    low, high = np.subtract(located.start, true.start), np.subtract(true.stop, located.stop)
    return np.array([low, high]) * case.geometry.spacing_mm


def _enough(values: np.ndarray) -> np.ndarray:
    """What suffices for REACH of the values along axis 0."""
    return np.quantile(values, REACH, axis=0, method="higher")


def _offset(name: str, other: str, middles: Sequence[dict[str, np.ndarray]]) -> Offset | None:
    steps = [places[name] - places[other] for places in middles if name in places and other in places]
    if not steps:
        return None
    widened = math.sqrt((len(steps) + 1) / max(1, len(steps) - 1))
    return Offset(_triple(np.mean(steps, axis=0)), _triple(widened * np.std(steps, axis=0)), len(steps))


def _joined(known: Sequence[OrganExperience]) -> OrganExperience:
    others = sorted({other for one in known for other in one.offsets})
    offsets = {other: [one.offsets[other] for one in known if other in one.offsets] for other in others}
    return OrganExperience(
        _triple(np.max([one.margin_low_mm for one in known], axis=0)),
        _triple(np.max([one.margin_high_mm for one in known], axis=0)),
        _triple(np.max([one.size_mm for one in known], axis=0)),
        {
            other: Offset(
                _triple(np.mean([offset.mean_mm for offset in some], axis=0)),
                _triple(np.max([offset.spread_mm for offset in some], axis=0)),
                max(offset.cases for offset in some),
            )
            for other, some in offsets.items()
        },
        sum(one.cases for one in known),
        sum(one.found for one in known),
        sum(one.held for one in known),
    )


def _middle(box: Box, geometry: Geometry) -> np.ndarray:
    """World (x, y, z) of the middle of a box."""
    return geometry.voxel_to_world((np.add(box.start, box.stop) - 1) / 2)


def _voxels(lengths_mm: Triple, geometry: Geometry) -> tuple[int, ...]:
    return tuple(math.ceil(mm / step) for mm, step in zip(lengths_mm, geometry.spacing_mm, strict=True))


def _triple(values: np.ndarray) -> Triple:
    return float(values[0]), float(values[1]), float(values[2])
