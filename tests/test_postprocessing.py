"""Rules do what their names say, and only those that pay are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Labels
from autoseg.errors import FileError, FormatError, OptionError
from autoseg.files import write_json
from autoseg.geometry import Geometry
from autoseg.io import Volume, write_labels
from autoseg.postprocessing import (
    HeldOutCase,
    KeptRule,
    Postprocessing,
    Rule,
    apply_rules,
    choose_rules,
    read_rules,
    write_rules,
)

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


def test_rules_of_regions_are_chosen_where_they_pay(tmp_path: Path) -> None:
    predicted = scene()
    predicted[10, 10, 10] = 1
    held_out = HeldOutCase(tmp_path / "predicted.nii.gz", tmp_path / "true.nii.gz")
    geometry = Geometry(SHAPE, (1.0, 1.0, 1.0))
    write_labels(held_out.prediction, Volume(predicted, geometry))
    write_labels(held_out.reference, Volume(scene(), geometry))
    assert choose_rules([held_out], REGIONS).rules == (Rule("largest_component"),)


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


def held_out(folder: Path, predictions: list[np.ndarray], **options: tuple[str, ...]) -> list[HeldOutCase]:
    cases = []
    geometry = Geometry(SHAPE, (2.0, 1.0, 1.0))
    for number, prediction in enumerate(predictions):
        predicted, reference = folder / f"p{number}.nii.gz", folder / f"r{number}.nii.gz"
        write_labels(predicted, Volume(prediction, geometry))
        write_labels(reference, Volume(scene(), geometry))
        cases.append(HeldOutCase(predicted, reference, **options))
    return cases


def test_a_rule_that_pays_is_kept_with_its_gain(tmp_path: Path) -> None:
    stray = scene()
    stray[10, 10, 8:11] = 2
    chosen = choose_rules(held_out(tmp_path, [stray, scene()]), LABELS)
    assert [kept.rule for kept in chosen.kept] == [Rule("largest_component")]
    tumour = (2 * 8 / (8 + 11) + 1) / 2
    assert chosen.kept[0].dice_before == pytest.approx((1 + tumour) / 2)
    assert chosen.kept[0].dice_after == 1
    assert chosen.cases == 2


def test_nothing_is_kept_where_nothing_rises(tmp_path: Path) -> None:
    assert choose_rules(held_out(tmp_path, [scene(), scene()]), LABELS).kept == ()


def test_a_rule_that_harms_one_class_is_dropped(tmp_path: Path) -> None:
    """One component of all foreground would mend the liver, raise the mean, and cost the tumour a voxel apart."""
    reference = scene()
    reference[11, 11, 11] = 2
    prediction = reference.copy()
    prediction[0:4, 9:12, 0:4] = 1
    geometry = Geometry(SHAPE, (1.0, 1.0, 1.0))
    write_labels(tmp_path / "p.nii.gz", Volume(prediction, geometry))
    write_labels(tmp_path / "r.nii.gz", Volume(reference, geometry))
    chosen = choose_rules([HeldOutCase(tmp_path / "p.nii.gz", tmp_path / "r.nii.gz")], LABELS)
    assert chosen.rules == (Rule("largest_component", "liver"),)


def test_the_smallest_volume_comes_from_the_reference(tmp_path: Path) -> None:
    """Two livers apart: a largest component would lose one, a minimum volume removes only the speck."""
    two = np.zeros(SHAPE, np.int16)
    two[0:4, 0:4, 0:4] = two[8:12, 8:12, 8:12] = 1
    prediction = two.copy()
    prediction[0, 11, 11] = 1
    geometry = Geometry(SHAPE, (2.0, 1.0, 1.0))
    write_labels(tmp_path / "p.nii.gz", Volume(prediction, geometry))
    write_labels(tmp_path / "r.nii.gz", Volume(two, geometry))
    chosen = choose_rules([HeldOutCase(tmp_path / "p.nii.gz", tmp_path / "r.nii.gz")], LABELS)
    assert chosen.rules == (Rule("minimum_volume", "liver", 0.05 * 128),)


def test_classes_that_were_not_contoured_have_no_say(tmp_path: Path) -> None:
    stray = scene()
    stray[10, 10, 8:11] = 2
    assert choose_rules(held_out(tmp_path, [stray], not_contoured=("tumour",)), LABELS).kept == ()


def test_other_grids_are_refused(tmp_path: Path) -> None:
    write_labels(tmp_path / "p.nii.gz", Volume(scene(), Geometry(SHAPE, (1.0, 1.0, 1.0))))
    write_labels(tmp_path / "r.nii.gz", Volume(scene()[1:], Geometry((11, 12, 12), (1.0, 1.0, 1.0))))
    with pytest.raises(FileError, match="another grid"):
        choose_rules([HeldOutCase(tmp_path / "p.nii.gz", tmp_path / "r.nii.gz")], LABELS)


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
