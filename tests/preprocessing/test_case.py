from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from autoseg.errors import DatasetError, GeometryError
from autoseg.files import from_json, to_json
from autoseg.geometry import Box, Geometry
from autoseg.io import Volume
from autoseg.plans import Plans
from autoseg.preprocessing.case import CaseRecord, PreparedCase, prepare

MakePlans = Callable[..., Plans]


def volume(array: np.ndarray, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Volume:
    shape = array.shape[-3:]
    return Volume(array, Geometry((shape[0], shape[1], shape[2]), spacing_mm))


def prepared(image: Volume, labels: Volume | None, plans: Plans) -> PreparedCase:
    return prepare(image, labels, plans, next(iter(plans.stages.values())), case_id="case")


def test_the_order_is_transpose_crop_resample(make_plans: MakePlans) -> None:
    image = np.zeros((1, 6, 8, 10), np.float32)
    image[:, 1:5, 2:8, 3:6] = 5
    case = prepared(volume(image, (3, 2, 1)), None, make_plans((1.0, 1.5, 2.0), transpose=(2, 0, 1)))
    assert case.record.crop == Box((3, 1, 2), (6, 5, 8))
    assert case.record.cropped_shape == (3, 4, 6)
    assert case.record.prepared_shape == case.image.shape[1:] == (3, 8, 6)
    assert case.record.source_spacing_mm == (1, 3, 2)
    np.testing.assert_allclose(case.image, 5, rtol=1e-6)


def test_identity_leaves_values_and_the_volume_untouched(make_plans: MakePlans) -> None:
    image = np.random.default_rng(0).normal(size=(1, 4, 5, 6)).astype(np.float32)
    before = image.copy()
    case = prepared(volume(image), None, make_plans((1.0, 1.0, 1.0)))
    np.testing.assert_array_equal(case.image, before)
    case.image[:] = 0
    np.testing.assert_array_equal(image, before)


def test_masked_channels_are_zero_outside_the_body(make_plans: MakePlans) -> None:
    image = np.zeros((1, 5, 5, 5), np.float32)
    image[0, 1:4, 2, 2] = [1, 2, 3]
    image[0, 2, 1:4, 2] = [4, 2, 6]
    case = prepared(volume(image), None, make_plans((1.0, 1.0, 1.0), channels=(("zscore", True),)))
    inside = image[0, 1:4, 1:4, 2:3] != 0
    assert case.image[0][inside].mean() == pytest.approx(0, abs=1e-6)
    assert not case.image[0][~inside].any()


def test_a_2d_stage_keeps_axis_0(make_plans: MakePlans) -> None:
    case = prepared(volume(np.ones((1, 7, 8, 9), np.float32), (4, 1, 1)), None, make_plans((2.0, 0.5)))
    assert case.image.shape == (1, 7, 4, 18)
    assert case.record.spacing_mm == (4, 2.0, 0.5)


def test_labels_follow_the_image(make_plans: MakePlans, make_labels: Callable[..., np.ndarray]) -> None:
    labels = make_labels((9, 10, 11), 0)
    image = labels[None].astype(np.float32) + 1
    case = prepared(volume(image), volume(labels), make_plans((1.0, 1.0, 1.0), transpose=(1, 2, 0)))
    np.testing.assert_array_equal(case.labels, case.image[0] - 1)


def test_the_record_survives_json(make_plans: MakePlans) -> None:
    record = prepared(volume(np.ones((1, 4, 5, 6), np.float32)), None, make_plans((2.0, 1.0, 1.0))).record
    assert from_json(CaseRecord, to_json(record), "case.json") == record


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_non_finite_voxels_are_counted_in_an_error(value: float, make_plans: MakePlans) -> None:
    image = np.ones((1, 3, 3, 3), np.float32)
    image[0, 0, 0, :2] = value
    with pytest.raises(DatasetError, match="case: the image holds 2 non-finite voxels"):
        prepared(volume(image), None, make_plans((1.0, 1.0, 1.0)))


def test_the_number_of_channels_is_checked(make_plans: MakePlans) -> None:
    plans = make_plans((1.0, 1.0, 1.0), channels=(("ct", False), ("none", False)))
    with pytest.raises(DatasetError, match=r"need 2 channels \(ct, none\)"):
        prepared(volume(np.ones((1, 3, 3, 3), np.float32)), None, plans)


def test_labels_on_another_grid_are_refused(make_plans: MakePlans) -> None:
    image, labels = volume(np.ones((1, 3, 3, 3), np.float32)), volume(np.zeros((3, 3, 3), np.int16), (2, 1, 1))
    with pytest.raises(GeometryError, match="different grids"):
        prepared(image, labels, make_plans((1.0, 1.0, 1.0)))


def test_an_image_of_zeros_is_prepared_whole(make_plans: MakePlans) -> None:
    case = prepared(volume(np.zeros((1, 3, 4, 5), np.float32)), None, make_plans((1.0, 1.0, 1.0)))
    assert case.image.shape == (1, 3, 4, 5)
