"""The script's search for organs against autoseg's, box for box, on made-up labels."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autoseg.exporting import organs
from autoseg.exporting.description import DeployedOrgan, DeployedSearch
from autoseg.files import to_json
from autoseg.geometry import Box, Geometry
from autoseg.inference.merging import OrganProbability, merged_labels
from autoseg.labels import Labels
from autoseg.locating import regions as locating
from autoseg.locating.boxes import locate
from autoseg.locating.experience import Experience, Offset, OrganExperience

NAMES = ("left", "right", "stem", "nerve")
LABELS = Labels({name: (number + 1,) for number, name in enumerate(NAMES)})
SHAPE = (30, 26, 34)
MISSED = (organs.MISSED, organs.DOUBTED, organs.TOO_LARGE)
AXES = np.array([[0, 0, 1.0], [0, 1.0, 0], [1.0, 0, 0]])


def triple(rng: np.random.Generator, low: float, high: float) -> tuple[float, float, float]:
    first, second, third = rng.uniform(low, high, 3).tolist()
    return first, second, third


def geometry(rng: np.random.Generator) -> Geometry:
    """Any order and sense of the axes."""
    directions = AXES[rng.permutation(3)] * rng.choice([-1.0, 1.0], 3)[:, None]
    first, second, third = (tuple(row) for row in directions.tolist())
    return Geometry(SHAPE, triple(rng, 0.8, 3.0), triple(rng, -50, 50), (first, second, third))


def blobs(rng: np.random.Generator) -> np.ndarray:
    """Organs of several sizes, some with specks, some missing, some at the border."""
    labels = np.zeros(SHAPE, np.int16)
    for value in (1, 2, 3, 4):
        if rng.random() < 0.3:
            continue
        for edge in (int(rng.integers(3, 16)), *([1] * int(rng.integers(0, 3)))):
            start = [int(rng.integers(0, n - 1)) for n in SHAPE]
            labels[tuple(slice(a, a + edge) for a in start)] = value
    return labels


def test_regions_are_those_of_autoseg() -> None:
    seen: Counter[str] = Counter()
    for seed in range(200):
        compare(np.random.default_rng(seed), seen)
    outside = {f"{missed}, and {organs.OUTSIDE}" for missed in MISSED}
    happened = {organs.NOWHERE, *outside, *MISSED, "oversized", "found"}
    assert set(seen) == happened, "all that can happen"


def compare(rng: np.random.Generator, seen: Counter[str]) -> None:
    """Both searches on one made-up case. seen: counts what happened to its organs."""
    grid, located = geometry(rng), blobs(rng)
    known = {}
    for name in NAMES:
        others = [other for other in NAMES if other != name and rng.random() < 0.7]
        offsets = {one: Offset(triple(rng, -30, 30), triple(rng, 0.5, 4), int(rng.integers(1, 6))) for one in others}
        margins = triple(rng, 0, 6), triple(rng, 0, 6)
        known[name] = OrganExperience(*margins, triple(rng, 5, 30), offsets, 5, 5, 5)
    planned = {name: triple(rng, 4, 25) for name in NAMES}
    patch_mm = {name: triple(rng, 3, 40) for name in NAMES}
    experience = Experience(known)

    least = {
        name: tuple(max(1, int(mm / step + 1e-6)) for mm, step in zip(patch_mm[name], grid.spacing_mm, strict=True))
        for name in NAMES
    }
    most = {
        name: tuple(min(max(ends), n) for *ends, n in zip(least[name], edges, SHAPE, strict=True))
        for name, edges in locating.largest_regions(experience, planned, grid).items()
    }
    found = locate(located, LABELS, grid, planned)
    expected = locating.plan_search(found, experience, grid, least=least, most=most)

    described = [
        DeployedOrgan(
            name, name, None, patch_mm[name], planned[name], one.size_mm, one.margin_low_mm, one.margin_high_mm,
            one.offsets,
        )
        for name, one in known.items()
    ]  # fmt: skip
    model: Any = {"organs": described, "search": DeployedSearch(), "classes": LABELS.classes}
    steps = np.asarray(grid.direction) * np.asarray(grid.spacing_mm)[:, None]
    own = SimpleNamespace(spacing_mm=grid.spacing_mm, steps=steps, origin_mm=np.asarray(grid.origin_mm))
    regions, nowhere = organs.search(located, to_json(model), own)

    told = [
        (organ["name"], tuple(start.tolist()), tuple(stop.tolist()), organ["missed"])
        for organ, (start, stop) in regions
    ]
    assert told == [(one.organ, one.box.start, one.box.stop, one.missed) for one in expected.regions]
    assert nowhere == expected.nowhere
    seen.update(nowhere.values())
    seen.update(one.missed for one in expected.regions if one.missed)
    seen.update("oversized" for one in expected.regions if one.organ in found.oversized)
    seen.update("found" for one in expected.regions if not one.missed)


@pytest.mark.parametrize("seed", range(10))
def test_regions_are_merged_alike(seed: int) -> None:
    rng, parts, theirs = np.random.default_rng(seed), [], []
    for name in NAMES:
        start = np.array([int(rng.integers(0, 10)) for _ in SHAPE])
        stop = start + rng.integers(8, 16, 3)
        probability = rng.choice([0.2, 0.5, 0.6, 0.7, 0.9], tuple(stop - start)).astype(np.float32)
        parts.append(({"name": name}, (start, stop), probability))
        box = Box(tuple(start.tolist()), tuple(stop.tolist()))
        theirs.append(OrganProbability(name, box, probability))
    expected = merged_labels(theirs, LABELS, SHAPE)
    np.testing.assert_array_equal(organs.merge(parts, LABELS.classes, SHAPE), expected)
    assert len(np.unique(expected)) == 5
