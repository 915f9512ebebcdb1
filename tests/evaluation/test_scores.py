"""One class in one case: volumes with known answers, empty masks, regions, ignored voxels."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.errors import GeometryError
from autoseg.evaluation import ClassScores, evaluate_case
from autoseg.geometry import Geometry
from autoseg.labels import Labels

LABELS = Labels({"liver": (1,), "tumour": (2,)})


def ball(radius_mm: float, geometry: Geometry, shift_mm: float = 0.0) -> np.ndarray:
    centre = (np.asarray(geometry.shape) - 1) / 2
    index = np.moveaxis(np.indices(geometry.shape), 0, -1)
    offset = (index - centre) * geometry.spacing_mm - np.array([0, 0, shift_mm])
    return ((offset**2).sum(-1) <= radius_mm**2).astype(np.int16)


def score_line(prediction: list[int], reference: list[int], labels: Labels = LABELS) -> dict[str, ClassScores]:
    arrays = [np.array(line, np.int16)[None, None] for line in (prediction, reference)]
    return evaluate_case(*arrays, labels, Geometry((1, 1, len(reference)), (1.0, 2.0, 3.0)))


def test_a_ball_has_the_volume_of_a_ball() -> None:
    geometry = Geometry((40, 60, 60), (1.0, 0.7, 0.7))
    scores = evaluate_case(ball(15, geometry), ball(12, geometry), LABELS, geometry)["liver"]
    assert scores.predicted_mm3 == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.01)
    assert scores.volume_difference_mm3 == pytest.approx(4 / 3 * np.pi * (15**3 - 12**3), rel=0.02)
    assert scores.dice == pytest.approx(2 * 12**3 / (15**3 + 12**3), rel=0.01)
    # The surface's points are up to a voxel away from it, on both sides: distances come out a little short.
    assert scores.assd_mm == pytest.approx(3.0, abs=0.7)


def test_counts_dice_and_iou_by_hand() -> None:
    scores = score_line([1, 1, 1, 0, 0], [0, 1, 1, 1, 0])["liver"]
    assert (scores.true_positives, scores.false_positives, scores.false_negatives) == (2, 1, 1)
    assert (scores.dice, scores.iou) == (pytest.approx(4 / 6), pytest.approx(2 / 4))
    assert (scores.predicted_mm3, scores.status) == (18.0, "found")


def test_dice_and_iou_equal_monai() -> None:
    import torch
    from monai.metrics import compute_dice, compute_iou

    generator = np.random.default_rng(5)
    first, second = (generator.integers(0, 3, (6, 7, 8)).astype(np.int16) for _ in range(2))
    scores = evaluate_case(first, second, LABELS, Geometry((6, 7, 8), (1.0, 1.0, 1.0)), surface=False)
    one_hot = [torch.from_numpy(np.stack([array == v for v in (1, 2)])[None]).float() for array in (first, second)]
    for name, dice, iou in zip(LABELS.names, compute_dice(*one_hot)[0], compute_iou(*one_hot)[0], strict=True):
        assert (scores[name].dice, scores[name].iou) == (pytest.approx(float(dice)), pytest.approx(float(iou)))


def test_empty_against_empty_has_no_dice_and_says_so() -> None:
    scores = score_line([1, 0], [1, 0])["tumour"]
    assert (scores.status, scores.dice, scores.iou, scores.surface_dice) == ("both_empty", None, None, None)


@pytest.mark.parametrize(("lines", "status"), [(([0, 0], [0, 1]), "missed"), (([0, 1], [0, 0]), "false_alarm")])
def test_one_empty_mask_scores_zero_without_a_distance(lines: tuple[list[int], list[int]], status: str) -> None:
    scores = score_line(*lines)["liver"]
    assert (scores.status, scores.dice, scores.iou, scores.surface_dice) == (status, 0.0, 0.0, 0.0)
    assert scores.hd95_mm is None
    assert scores.assd_mm is None


def test_surfaces_can_be_left_out() -> None:
    geometry = Geometry((1, 1, 2), (1.0, 1.0, 1.0))
    array = np.array([[[1, 0]]], np.int16)
    scores = evaluate_case(array, array, LABELS, geometry, surface=False)["liver"]
    assert (scores.dice, scores.hd95_mm, scores.surface_dice) == (1.0, None, None)


def test_regions_are_the_union_of_their_values() -> None:
    regions = Labels({"whole": (1, 2), "core": (2,)}, region_values=(1, 2))
    scores = score_line([1, 1, 2], [2, 1, 2], regions)
    assert scores["whole"].dice == 1.0
    assert scores["core"].dice == pytest.approx(2 / 3)


def test_ignored_voxels_count_nowhere() -> None:
    scores = score_line([1, 1, 1, 0], [1, 3, 3, 0], Labels({"liver": (1,), "tumour": (2,)}, ignore=3))
    assert scores["liver"].false_positives == 0
    assert scores["liver"].dice == 1.0


def test_a_class_that_was_not_contoured_is_left_out() -> None:
    array = np.ones((1, 1, 2), np.int16)
    scores = evaluate_case(array, array, LABELS, Geometry((1, 1, 2), (1, 1, 1)), not_contoured=("tumour",))
    assert list(scores) == ["liver"]


def test_a_single_slice_is_measured_in_its_plane() -> None:
    geometry = Geometry((1, 20, 20), (50.0, 1.0, 1.0))
    prediction, reference = np.zeros((2, 1, 20, 20), np.int16)
    prediction[0, 2:12, 2:12] = 1
    reference[0, 2:12, 5:15] = 1
    scores = evaluate_case(prediction, reference, LABELS, geometry)["liver"]
    assert scores.hd95_mm == pytest.approx(3.0)
    assert scores.predicted_mm3 == 100 * 50


def test_one_slice_of_a_volume_is_measured_in_space() -> None:
    geometry = Geometry((3, 20, 20), (1.0, 1.0, 1.0))
    prediction, reference = np.zeros((2, 3, 20, 20), np.int16)
    prediction[1, 2:12, 2:12] = 1
    reference[1, 2:12, 2:12] = 1
    reference[1, 6, 6] = 0
    # In the plane the hole's contour would lie 4 mm off; in space it lies on the surface above and below.
    assert evaluate_case(prediction, reference, LABELS, geometry)["liver"].hd95_mm == 0.0


def test_shapes_that_differ_are_refused() -> None:
    arrays = np.zeros((1, 1, 2), np.int16), np.zeros((1, 1, 3), np.int16)
    with pytest.raises(GeometryError, match=r"\(1, 1, 2\), the reference \(1, 1, 3\)"):
        evaluate_case(*arrays, LABELS, Geometry((1, 1, 3), (1, 1, 1)))


SIDES = Labels({"parotid_left": (1,), "parotid_right": (2,), "larynx": (3,)}, ignore=4)


def test_what_is_called_left_on_the_right_is_counted() -> None:
    scores = score_line([1, 1, 1, 3, 2, 1], [1, 2, 2, 2, 2, 4], SIDES)
    found = {name: one.other_side_voxels for name, one in scores.items()}
    assert found == {"parotid_left": 2, "parotid_right": 0, "larynx": None}


def test_a_side_that_was_not_contoured_tells_nothing_of_the_other() -> None:
    array = np.array([[[1, 2, 3]]], np.int16)
    geometry = Geometry((1, 1, 3), (1.0, 1.0, 1.0))
    scores = evaluate_case(array, array, SIDES, geometry, not_contoured=("parotid_right",), surface=False)
    assert {name: one.other_side_voxels for name, one in scores.items()} == {"parotid_left": None, "larynx": None}


def test_what_both_sides_have_in_common_is_on_neither() -> None:
    regions = Labels({"lung_left": (1, 3), "lung_right": (2, 3)})
    scores = score_line([1, 3, 2, 2], [1, 3, 2, 1], regions)
    assert {name: one.other_side_voxels for name, one in scores.items()} == {"lung_left": 0, "lung_right": 1}
