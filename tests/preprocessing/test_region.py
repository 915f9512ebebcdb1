"""Regions are prepared as the whole volume is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autoseg.errors import DatasetError
from autoseg.geometry import Box, Geometry
from autoseg.io import Volume
from autoseg.labels import Labels
from autoseg.plans import (
    ChannelPlan,
    IntensityStatistics,
    LevelSpec,
    NetworkSpec,
    Plans,
    RegionPlan,
    StagePlan,
    Target,
)
from autoseg.preprocessing.case import prepare
from autoseg.preprocessing.region import RegionCutter, mirrored, part_of
from autoseg.preprocessing.restore import restore_labels

STATISTICS = IntensityStatistics(3.0, 3.0, 2.0, -9.0, 9.0, -5.0, 8.0)
GEOMETRY = Geometry((20, 24, 30), (3.0, 1.0, 1.5), (4.0, 5.0, 6.0))
BOX = Box((4, 6, 8), (16, 18, 26))


def make_stage(spacing_mm: tuple[float, ...], organs: tuple[str, ...] = ("left", "right")) -> StagePlan:
    network = NetworkSpec("unet", 3, 1, 2, (LevelSpec((1, 1, 1), (3, 3, 3), (8,)),))
    region = RegionPlan(organs, (9.0,) * 3, (3.0,) * 3)
    return StagePlan("organ", spacing_mm, (9.0,) * 3, (8,) * 3, 1, network, False, region=region)


def make_plans(scheme: str = "ct", *, masked: bool = False, transpose=(0, 1, 2), axis: int = 2) -> Plans:
    return Plans(
        name="plans",
        planner="default",
        dataset_name="Dataset001_Pair",
        fingerprint="",
        target=Target("cpu", 1 << 30),
        transpose=transpose,
        channels=(ChannelPlan("CT", scheme, STATISTICS, masked),),
        stages={},
        configurations={},
        left_right_axis=axis,
        left_right_pairs=(("left", "right"),),
    )


def volume(rim: int = 0) -> Volume:
    image = np.random.default_rng(0).normal(3, 2, (1, *GEOMETRY.shape)).astype(np.float32)
    if rim:
        image[:, :rim] = image[:, -rim:] = 0
    return Volume(image, GEOMETRY)


@pytest.mark.parametrize(("scheme", "masked"), [("ct", False), ("zscore", False), ("zscore", True), ("rescale", False)])
def test_a_region_is_normalised_as_the_whole_volume(scheme: str, masked: bool) -> None:
    plans, stage = make_plans(scheme, masked=masked), make_stage(GEOMETRY.spacing_mm)
    whole = prepare(volume(rim=3), None, plans, replace(stage, region=None), case_id="case")
    region = RegionCutter(volume(rim=3), plans).cut(BOX, stage, organ="left")
    inside = Box(
        tuple(np.subtract(BOX.start, whole.record.crop.start)), tuple(np.subtract(BOX.stop, whole.record.crop.start))
    )
    np.testing.assert_array_equal(region.image, whole.image[(slice(None), *inside.slices)])


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("organ", ["left", "right"])
def test_labels_of_a_region_go_back_to_its_place(transpose: tuple[int, ...], organ: str) -> None:
    plans = make_plans(transpose=transpose, axis=transpose.index(2))
    labels = np.zeros(GEOMETRY.shape, np.int16)
    labels[8:12, 9:14, 10:15] = 1
    order = [GEOMETRY.spacing_mm[axis] for axis in transpose]
    case = RegionCutter(volume(), plans).cut(BOX, make_stage(tuple(order)), organ=organ, labels=labels)
    assert case.labels is not None
    logits = np.stack([case.labels == 0, case.labels == 1]).astype(np.float32)
    logits = mirrored(logits, plans) if organ == "right" else logits
    restored = restore_labels(logits, case.record, Labels({"organ": (1,)}))
    np.testing.assert_array_equal(restored, labels[BOX.slices])


def test_the_right_one_looks_like_the_left_one_of_the_mirrored_volume() -> None:
    plans, stage = make_plans(), make_stage((2.0, 1.3, 1.3))
    right = RegionCutter(volume(), plans).cut(BOX, stage, organ="right")
    flipped = Volume(np.ascontiguousarray(volume().array[..., ::-1]), GEOMETRY)
    box = Box((*BOX.start[:2], 30 - BOX.stop[2]), (*BOX.stop[:2], 30 - BOX.start[2]))
    left = RegionCutter(flipped, plans).cut(box, stage, organ="left")
    np.testing.assert_allclose(right.image, left.image, atol=1e-5)


def test_the_grid_of_a_part_lies_where_its_voxels_do() -> None:
    part = part_of(GEOMETRY, BOX)
    np.testing.assert_allclose(part.voxel_to_world(np.array([1, 2, 3])), GEOMETRY.voxel_to_world(np.array([5, 8, 11])))


def test_voxels_that_are_not_finite_are_refused() -> None:
    broken = volume()
    broken.array[0, 3, 3, 3] = np.nan
    with pytest.raises(DatasetError, match="1 non-finite"):
        RegionCutter(broken, make_plans())
