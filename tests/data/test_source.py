from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from autoseg.data.regions import CaseRegions
from autoseg.data.source import PatchSource
from autoseg.data.spatial import SpatialLimits
from autoseg.errors import OptionError
from autoseg.geometry import Box
from autoseg.labels import Labels
from autoseg.plans import RegionPlan

Make = Callable[..., PatchSource]
Maps = dict[str, np.ndarray]


def test_a_batch_is_a_function_of_seed_and_number(source_of: Make, two_balls: Maps) -> None:
    first, again = source_of(two_balls, (16, 16, 16), seed=3), source_of(two_balls, (16, 16, 16), seed=3)
    again.batch(2)
    a, b = first.batch(5), again.batch(5)
    assert torch.equal(a.image, b.image)
    assert torch.equal(a.target.labels, b.target.labels)
    assert not torch.equal(a.image, first.batch(6).image)
    assert not torch.equal(a.image, source_of(two_balls, (16, 16, 16), seed=4).batch(5).image)


def test_types_and_shapes(source_of: Make, two_balls: Maps) -> None:
    batch = source_of(two_balls, (16, 20, 12), batch_size=3).batch(0)
    assert (batch.image.dtype, tuple(batch.image.shape)) == (torch.float32, (3, 1, 16, 20, 12))
    assert (batch.target.labels.dtype, tuple(batch.target.labels.shape)) == (torch.int64, (3, 16, 20, 12))
    assert (batch.target.contoured.dtype, tuple(batch.target.contoured.shape)) == (torch.bool, (3, 2))


def test_strength_zero_gives_plain_crops(source_of: Make, two_balls: Maps) -> None:
    sample = source_of(two_balls, (24, 28, 32), augmentation=0.0).sample(0)
    np.testing.assert_array_equal(sample.labels, two_balls["case_0"])
    np.testing.assert_array_equal(sample.image[0], two_balls["case_0"])


def test_image_and_labels_stay_together(source_of: Make, two_balls: Maps) -> None:
    source = source_of(two_balls, (24, 28, 32))
    source.intensity.strength = 0
    for number in range(30):
        sample = source.sample(number)
        assert (np.abs(sample.image[0] - sample.labels) < 1).mean() > 0.99


def test_a_long_organ_is_not_laid_across_its_own_patch(source_of: Make) -> None:
    """Which is longer and thinner than that of the organ beside it; by the shape of patches it would turn anyhow."""
    bar, cube = np.zeros((24, 48, 24), np.int16), np.zeros((24, 48, 24), np.int16)
    bar[10:14, :, 10:14], cube[8:16, 20:28, 8:16] = 1, 1
    regions = {
        "bar": CaseRegions(Box((8, 8, 8), (16, 40, 16)), None, (0, 0, 0), 0, (8, 32, 8)),
        "cube": CaseRegions(Box((6, 18, 6), (18, 30, 18)), None, (0, 0, 0), 1, (12, 12, 12)),
    }
    source = source_of(
        {"bar": bar, "cube": cube},
        (12, 12, 12),
        labels=Labels({"organ": (1,)}),
        region=RegionPlan(("organ",), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
        regions=regions,
        limits=SpatialLimits(scales=(1.0, 1.0)),
    )
    samples = [(source.sampler.case_id(number), source.sample(number)) for number in range(200)]
    assert {(name, sample.labels.shape) for name, sample in samples} == {("bar", (8, 32, 8)), ("cube", (12, 12, 12))}
    kept = [int((sample.labels == 1).sum()) for name, sample in samples if name == "bar"]
    assert 4 * 4 * 20 < min(kept) < 4 * 4 * 31


def test_two_dimensional_patches_are_slices(source_of: Make, two_balls: Maps) -> None:
    batch = source_of(two_balls, (28, 32), augmentation=0.0).batch(0)
    assert tuple(batch.image.shape) == (2, 1, 28, 32)
    assert tuple(batch.target.labels.shape) == (2, 28, 32)
    assert any(np.array_equal(batch.target.labels[1], plane) for plane in two_balls["case_0"])


def test_small_volumes_are_padded_with_the_background(source_of: Make) -> None:
    batch = source_of({"case": np.ones((3, 3, 3), np.int16)}, (8, 8, 8), augmentation=0.0).batch(0)
    assert int((batch.target.labels == 1).sum()) == 2 * 27
    assert int((batch.target.labels == 0).sum()) == 2 * (512 - 27)


def test_beyond_the_volume_is_ignored_where_an_ignore_label_exists(source_of: Make) -> None:
    labels = Labels({"organ": (1,)}, ignore=2)
    batch = source_of({"case": np.ones((3, 3, 3), np.int16)}, (8, 8, 8), labels=labels, augmentation=0.0).batch(0)
    assert int((batch.target.labels == 2).sum()) == 2 * (512 - 27)


def test_the_ignore_label_survives_augmentation(source_of: Make, two_balls: Maps) -> None:
    maps = {name: np.where(labels == 0, 3, labels).astype(np.int16) for name, labels in two_balls.items()}
    source = source_of(maps, (24, 28, 32), labels=Labels({"left": (1,), "right": (2,)}, ignore=3))
    for number in range(20):
        values = np.unique(source.sample(number).labels)
        assert 0 not in values
        assert 3 in values


def test_masked_channels_stay_zero_outside(source_of: Make, two_balls: Maps) -> None:
    source = source_of(two_balls, (24, 28, 32), plans={"masked": True})
    source.intensity.changes = ((1.0, lambda image, rng: image + 1),)
    image = source.sample(0).image[0]
    assert (image == 0).mean() > 0.9
    assert image.max() > 1.5


def test_previous_labels_become_channels_after_the_image(source_of: Make, two_balls: Maps) -> None:
    batch = source_of(two_balls, (16, 16, 16), previous=True, augmentation=0.0).batch(0)
    assert tuple(batch.image.shape) == (2, 3, 16, 16, 16)
    assert torch.equal(batch.image[:, 1], (batch.target.labels == 1).float())


def test_previous_labels_are_spoilt_by_augmentation(source_of: Make, two_balls: Maps) -> None:
    source = source_of(two_balls, (24, 28, 32), previous=True)
    samples = [source.sample(number) for number in range(20)]
    assert any(not np.array_equal(sample.image[1], sample.labels == 1) for sample in samples)
    assert all(set(np.unique(sample.image[1:])) <= {0, 1} for sample in samples)


def test_classes_that_nobody_looked_for_are_told(source_of: Make, two_balls: Maps) -> None:
    source = source_of(two_balls, (16, 16, 16), not_contoured={"case_0": ("right",)}, batch_size=4)
    flags = source.batch(0).target.contoured.tolist()
    assert sorted(flags) == [[True, False], [True, False], [True, True], [True, True]]


def test_no_cases_are_an_error(source_of: Make) -> None:
    with pytest.raises(OptionError, match="no cases"):
        source_of({}, (4, 4, 4))


def test_image_and_labels_are_shifted_together(source_of: Make, two_balls: Maps) -> None:
    source = source_of(two_balls, (16, 16, 16), limits=SpatialLimits(0.0, (1.0, 1.0), 4), foreground_fraction=0.0)
    source.intensity.strength = 0.0
    plain = source_of(two_balls, (16, 16, 16), augmentation=0.0, foreground_fraction=0.0)
    shifted = 0
    for number in range(20):
        sample = source.sample(number)
        np.testing.assert_array_equal(sample.image[0], sample.labels)
        shifted += not np.array_equal(sample.labels, plain.sample(number).labels)
    assert shifted > 10
