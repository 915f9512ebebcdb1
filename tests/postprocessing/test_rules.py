"""Rules do what their names say, and survive the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from autoseg.dataset import Labels
from autoseg.errors import FormatError, OptionError
from autoseg.files import write_json
from autoseg.postprocessing import KeptRule, Postprocessing, Rule, apply_rules, read_rules, write_rules
from autoseg.postprocessing.rules import filled

LABELS = Labels({"liver": (1,), "tumour": (2,)})
SHAPE = (12, 12, 12)


def scene() -> np.ndarray:
    """A liver of 6x6x6 voxels and a tumour of 2x2x2 inside it."""
    labels = np.zeros(SHAPE, np.int16)
    labels[2:8, 2:8, 2:8] = 1
    labels[4:6, 4:6, 4:6] = 2
    return labels


def test_the_largest_component_of_a_class_stays() -> None:
    labels = scene()
    labels[10, 10, 10] = 1
    labels[0, 0, 0] = 2
    cleaned = apply_rules(labels, [Rule("largest_component", "liver")], LABELS, 1.0)
    expected = scene()
    expected[0, 0, 0] = 2
    np.testing.assert_array_equal(cleaned, expected)
    assert labels[10, 10, 10] == 1


def test_the_largest_component_of_all_foreground_may_hold_several_classes() -> None:
    labels = scene()
    labels[10, 10, 9:11] = (1, 2)
    np.testing.assert_array_equal(apply_rules(labels, [Rule("largest_component")], LABELS, 1.0), scene())


def test_components_touch_by_corners() -> None:
    labels = scene()
    labels[8, 8, 8] = 1
    np.testing.assert_array_equal(apply_rules(labels, [Rule("largest_component")], LABELS, 1.0), labels)


@pytest.mark.parametrize(("minimum_mm3", "stays"), [(6.0, True), (6.1, False)])
def test_small_components_are_measured_in_mm3(minimum_mm3: float, stays: bool) -> None:
    labels = scene()
    labels[10, 10, 9:11] = 1
    cleaned = apply_rules(labels, [Rule("minimum_volume", "liver", minimum_mm3)], LABELS, 3.0)
    assert (cleaned[10, 10, 9] == 1) == stays
    assert (cleaned == 1).sum() == (scene() == 1).sum() + 2 * stays


def test_holes_are_filled_but_not_with_what_another_class_holds() -> None:
    labels = scene()
    labels[3, 3, 3] = 0
    cleaned = apply_rules(labels, [Rule("fill_holes", "liver")], LABELS, 1.0)
    np.testing.assert_array_equal(cleaned, scene())


def test_an_absent_class_stays_absent() -> None:
    empty = np.zeros(SHAPE, np.int16)
    rules = [Rule("largest_component"), Rule("fill_holes", "liver"), Rule("minimum_volume", "tumour", 5)]
    assert not apply_rules(empty, rules, LABELS, 1.0).any()


REGIONS = Labels({"whole": (1, 2), "core": (2,)}, region_values=(1, 2))


def test_what_a_region_loses_stays_with_the_regions_around_it() -> None:
    labels = scene()
    labels[2, 2, 2] = 2
    np.testing.assert_array_equal(apply_rules(labels, [Rule("largest_component", "core")], REGIONS, 1.0), scene())
    labels[10, 10, 10] = 2
    whole = apply_rules(labels, [Rule("largest_component", "whole")], REGIONS, 1.0)
    assert whole[10, 10, 10] == 2, "still core: cleaned by a rule of its own"
    np.testing.assert_array_equal(whole[:9], labels[:9])
    assert apply_rules(labels, [Rule("largest_component")], REGIONS, 1.0)[10, 10, 10] == 0


def test_holes_of_a_region_are_filled_beneath_the_regions_inside() -> None:
    labels = scene()
    labels[3, 3, 3] = 0
    np.testing.assert_array_equal(apply_rules(labels, [Rule("fill_holes", "whole")], REGIONS, 1.0), scene())
    labels[4:6, 4:6, 4:6] = 0
    cleaned = apply_rules(labels, [Rule("fill_holes", "whole")], REGIONS, 1.0)
    np.testing.assert_array_equal(cleaned > 0, scene() > 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "polish"}, "no postprocessing rule 'polish'"),
        ({"kind": "fill_holes"}, "needs a class"),
        ({"kind": "minimum_volume", "target": "liver"}, "minimum_mm3 belongs"),
        ({"kind": "largest_component", "minimum_mm3": 3.0}, "minimum_mm3 belongs"),
    ],
)
def test_rules_that_make_no_sense_are_refused(values: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Rule(**values)


def test_rules_survive_the_disk(tmp_path: Path) -> None:
    rules = Postprocessing((KeptRule(Rule("minimum_volume", "liver", 12.5), 0.8, 0.9),), cases=3)
    write_rules(tmp_path / "postprocessing.json", rules)
    assert read_rules(tmp_path / "postprocessing.json", LABELS) == rules


def test_a_file_with_an_unknown_class_or_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "postprocessing.json"
    write_rules(path, Postprocessing((KeptRule(Rule("fill_holes", "spleen"), 0, 1),)))
    with pytest.raises(FormatError, match="class 'spleen'"):
        read_rules(path, LABELS)
    rule = {"kind": "polish", "target": None, "minimum_mm3": 0.0}
    write_json(path, {"schema": 1, "cases": 1, "kept": [{"rule": rule, "dice_before": 0.0, "dice_after": 1.0}]})
    with pytest.raises(FormatError, match="no postprocessing rule 'polish'"):
        read_rules(path, LABELS)


@pytest.mark.parametrize("density", [0.3, 0.5, 0.7, 0.9, 1.0, 0.0])
def test_what_is_enclosed_is_what_scipy_finds(density: float) -> None:
    for seed in range(20):
        mask = np.random.default_rng(seed).random((7, 8, 5)) < density
        np.testing.assert_array_equal(filled(mask), ndimage.binary_fill_holes(mask))
