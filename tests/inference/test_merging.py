"""Organs' probabilities become one answer."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.geometry import Box
from autoseg.inference.ensemble import decode_probabilities
from autoseg.inference.merging import OrganProbability, found_organs, merged_labels, merged_probabilities
from autoseg.labels import Labels

LABELS = Labels({"left": (1,), "right": (2,), "stem": (3,)})
SHAPE = (6, 7, 8)


def random_parts(seed: int) -> list[OrganProbability]:
    rng = np.random.default_rng(seed)
    boxes = [Box((0, 0, 0), (4, 5, 6)), Box((2, 1, 3), (6, 7, 8)), Box((1, 0, 2), (5, 6, 7))]
    return [
        OrganProbability(name, box, rng.random(box.shape, dtype=np.float32))
        for name, box in zip(LABELS.names, boxes, strict=True)
    ]


def dense(parts: list[OrganProbability]) -> np.ndarray:
    whole = np.zeros((4, *SHAPE), dtype=np.float32)
    whole[0] = 0.5
    for part in parts:
        whole[(LABELS.names.index(part.organ) + 1, *part.box.slices)] = part.probability
    return whole


@pytest.mark.parametrize("seed", range(3))
def test_a_voxel_takes_the_likeliest_organ_above_one_half(seed: int) -> None:
    parts = random_parts(seed)
    np.testing.assert_array_equal(merged_labels(parts, LABELS, SHAPE), dense(parts).argmax(axis=0))


@pytest.mark.parametrize("seed", range(3))
def test_probabilities_sum_to_one_and_decide_alike(seed: int) -> None:
    parts = random_parts(seed)
    merged = merged_probabilities(parts, LABELS, SHAPE)
    np.testing.assert_allclose(merged.sum(axis=0), 1, rtol=1e-6)
    np.testing.assert_array_equal(decode_probabilities(merged, LABELS), merged_labels(parts, LABELS, SHAPE))


def test_outside_all_regions_is_background() -> None:
    part = OrganProbability("stem", Box((0, 0, 0), (2, 2, 2)), np.ones((2, 2, 2), np.float32))
    assert merged_labels([part], LABELS, SHAPE).sum() == 3 * 8
    assert (merged_probabilities([part], LABELS, SHAPE)[0, 2:] == 1).all()


def test_organs_with_a_voxel_are_found() -> None:
    labels = np.zeros(SHAPE, np.int16)
    labels[1, 2, 3] = 2
    assert found_organs(labels, LABELS) == {"right"}
