"""What rules would change is found again where another rule has changed what they look at, and kept elsewhere."""

from __future__ import annotations

import numpy as np

from autoseg.labels import Labels
from autoseg.postprocessing.held_out import ScoredCase
from autoseg.postprocessing.rules import Rule

LIVER = [Rule("largest_component", "liver"), Rule("fill_holes", "liver")]
TUMOUR = [Rule("largest_component", "tumour")]


def shell(value: int) -> np.ndarray:
    """A block of 5x5x7 voxels with a hole of one voxel and one of two."""
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[1:6, 1:6, 1:8] = value
    labels[3, 3, 2] = labels[3, 3, 4:6] = 0
    return labels


def test_a_hole_that_another_rule_frees_is_filled() -> None:
    prediction = shell(1)
    prediction[3, 3, 2], prediction[8, 8, 5:8] = 2, 2
    case = ScoredCase(prediction, prediction.copy(), Labels({"liver": (1,), "tumour": (2,)}), 1.0)
    assert case.effects("liver", LIVER)[LIVER[1]].where.size == 2
    case.take(case.effects("tumour", TUMOUR)[TUMOUR[0]])
    assert case.effects("liver", LIVER)[LIVER[1]].where.size == 3


def test_a_region_that_another_one_s_rule_paints_is_looked_at_again() -> None:
    labels = Labels({"organ": (1, 2), "core": (2, 3)}, region_values=(2, 3))
    case = ScoredCase(shell(1), shell(1), labels, 1.0)
    rule, fill = Rule("largest_component", "core"), Rule("fill_holes", "organ")
    absent = case.effects("core", [rule])
    case.take(case.effects("organ", [fill])[fill])
    assert labels.mask(case.prediction, "core").sum() == 3
    assert case.effects("core", [rule]) is not absent


def test_what_no_rule_has_touched_is_not_found_again() -> None:
    prediction = shell(1)
    prediction[8, 8, 2], prediction[8, 8, 5:8] = 2, 2
    case = ScoredCase(prediction, prediction.copy(), Labels({"liver": (1,), "tumour": (2,)}), 1.0)
    before = case.effects("liver", LIVER)
    case.take(case.effects("tumour", TUMOUR)[TUMOUR[0]])
    assert case.effects("liver", LIVER) is before


def test_counts_follow_what_is_taken() -> None:
    labels = Labels({"liver": (1,), "tumour": (2,)}, ignore=3)
    prediction, reference = shell(1), shell(1)
    prediction[8, 8, 2:4], reference[8, 8, 2], reference[1] = 1, 2, 3
    case = ScoredCase(prediction, reference, labels, 1.0)
    effect = case.effects("liver", LIVER)[LIVER[0]]
    expected = case.counts + effect.gain
    case.take(effect)
    np.testing.assert_array_equal(case.counts, expected)
    np.testing.assert_array_equal(case.counts, ScoredCase(case.prediction, reference, labels, 1.0).counts)
    assert effect.gain[0].tolist() == [0, -2, 0]
