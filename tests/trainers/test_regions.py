"""The regions that an organ's network learns from, on phantoms whose boxes are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.data.source import PatchSource
from autoseg.dataset import Dataset, read_dataset
from autoseg.fingerprint import measure_fingerprint
from autoseg.geometry import Box
from autoseg.io import read_labels
from autoseg.labels import organ_labels
from autoseg.locating.boxes import CaseBoxes, find_boxes
from autoseg.locating.experience import Experience, learn
from autoseg.plans import TWO_STAGE, Plans, StagePlan, Target
from dataset_conversion.phantom import write_phantom_dataset
from planners.default import DefaultPlanner
from planners.options import GIBIBYTE, Overrides, PlanningOptions
from trainers.regions import RegionMaker, region_id, regions_of, stored_regions


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("raw") / "Dataset001_Phantom"
    write_phantom_dataset(folder, cases=3, test_cases=0, shape=(16, 32, 32))
    return read_dataset(folder)


@pytest.fixture(scope="module")
def plans(dataset: Dataset) -> Plans:
    overrides = Overrides(base_filters=8, pooling=1, two_stage="always")
    options = PlanningOptions(target=Target("cpu", GIBIBYTE, 60), overrides=overrides)
    return DefaultPlanner().plan(measure_fingerprint(dataset), dataset.labels, options)


def pair_stage(plans: Plans) -> StagePlan:
    return next(stage for stage in plans.stages.values() if stage.region and len(stage.region.organs) == 2)


def boxes_of(dataset: Dataset, *, open_classes: tuple[str, ...] = ()) -> dict[str, CaseBoxes]:
    """The locator errs by a voxel."""
    found = {}
    for case in dataset.cases:
        assert case.label is not None
        labels = read_labels(case.label)
        true = find_boxes(labels.array, dataset.labels)
        moved = {
            name: Box(tuple(a + 1 for a in box.start), tuple(b + 1 for b in box.stop)) for name, box in true.items()
        }
        found[case.id] = CaseBoxes(labels.geometry, true, moved, open_classes)
    return found


def maker_of(dataset: Dataset, plans: Plans, folder: Path, **changes: tuple[str, ...]) -> RegionMaker:
    stage, boxes = pair_stage(plans), boxes_of(dataset, **changes)
    assert stage.region is not None
    return RegionMaker(dataset, plans, stage, boxes, known_of(boxes, stage.region.organs), stored_regions(folder))


def known_of(boxes: dict[str, CaseBoxes], organs: Sequence[str], voxel_mm: float = 1.0) -> Experience:
    guess = dict.fromkeys(organs, (5.0, 5.0, 5.0))
    return learn(list(boxes.values()), organs, voxel_mm=(voxel_mm,) * 3, first_guess_mm=guess)


def test_the_true_region_holds_the_organ_on_either_side(dataset: Dataset, plans: Plans, tmp_path: Path) -> None:
    maker = maker_of(dataset, plans, tmp_path)
    for case in dataset.cases:
        maker.prepare(case)
    regions = maker.regions([case.id for case in dataset.cases], maker.known).of_cases
    assert len(regions) == 2 * len(dataset.cases)
    for name, region in regions.items():
        labels = np.asarray(maker.store.labels(name))
        organ = Box.around(labels == 1)
        assert organ is not None
        for box in (region.true, region.located):
            assert box is not None
            assert all(a <= b for a, b in zip(box.start, organ.start, strict=True)), (name, box, organ)
            assert all(a >= b for a, b in zip(box.stop, organ.stop, strict=True)), (name, box, organ)
            assert all(edge <= n + 1 for edge, n in zip(box.shape, labels.shape, strict=True))


@pytest.mark.parametrize("voxel_mm", [1.0, 40.0])
def test_all_of_a_region_is_kept_however_far_the_locator_errs(
    dataset: Dataset, plans: Plans, tmp_path: Path, voxel_mm: float
) -> None:
    stage, boxes, case = pair_stage(plans), boxes_of(dataset), dataset.cases[0]
    assert stage.region is not None
    known = known_of(boxes, stage.region.organs, voxel_mm)
    maker = RegionMaker(dataset, plans, stage, boxes, known, stored_regions(tmp_path))
    maker.prepare(case)
    for name, region in maker.regions([case.id], known).of_cases.items():
        shape = maker.store.labels(name).shape
        for box in (region.true, region.located):
            assert box is not None
            assert min(box.start) >= 0, (name, box)
            assert all(stop <= edge + 1 for stop, edge in zip(box.stop, shape, strict=True)), (name, box, shape)


def test_a_box_off_to_one_side_is_off_to_the_other_where_the_organ_is_mirrored(
    dataset: Dataset, plans: Plans, tmp_path: Path
) -> None:
    maker, axis = maker_of(dataset, plans, tmp_path), plans.left_right_axis
    assert axis is not None
    for case in dataset.cases:
        maker.prepare(case)
    found = maker.regions([case.id for case in dataset.cases], maker.known).of_cases
    steps: dict[str, int] = {"left": 0, "right": 0}
    for name, region in found.items():
        assert region.true is not None
        assert region.located is not None
        side = "left" if name.endswith(f"{dataset.labels.names.index(maker.organs[0]) + 1:03d}") else "right"
        steps[side] += region.located.start[axis] - region.true.start[axis]
    assert steps["left"] > 0 > steps["right"]


def test_a_region_that_is_there_is_not_made_again(dataset: Dataset, plans: Plans, tmp_path: Path) -> None:
    maker, case = maker_of(dataset, plans, tmp_path), dataset.cases[0]
    maker.prepare(case)
    paths = sorted(maker.store.folder.iterdir())
    before = [path.stat().st_mtime_ns for path in paths]
    maker.prepare(case)
    assert [path.stat().st_mtime_ns for path in paths] == before


def test_what_nobody_contoured_has_no_region(dataset: Dataset, plans: Plans, tmp_path: Path) -> None:
    organs = pair_stage(plans).region
    assert organs is not None
    maker = maker_of(dataset, plans, tmp_path, open_classes=organs.organs[:1])
    case_id = dataset.cases[0].id
    number = dataset.labels.names.index(organs.organs[1]) + 1
    assert maker.ids([case_id]) == (region_id(case_id, number),)


@pytest.fixture(scope="module")
def shared(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plans, list[RegionMaker]]:
    """Plans of one network for all organs, flips on, and the prepared regions of every stage in one store."""
    overrides = Overrides(base_filters=8, pooling=1, two_stage="always", organ_models="shared", mirror="all")
    options = PlanningOptions(target=Target("cpu", GIBIBYTE, 60), overrides=overrides)
    plans = DefaultPlanner().plan(measure_fingerprint(dataset), dataset.labels, options)
    store, boxes = stored_regions(tmp_path_factory.mktemp("organs")), boxes_of(dataset)
    stages = [stage for stage in plans.configuration_stages(TWO_STAGE) if stage.region]
    known = known_of(boxes, [organ for stage in stages if stage.region for organ in stage.region.organs])
    makers = [RegionMaker(dataset, plans, stage, boxes, known, store) for stage in stages]
    for maker in makers:
        maker.prepare(dataset.cases[0])
    return plans, makers


def source_of(dataset: Dataset, plans: Plans, makers: list[RegionMaker]) -> tuple[PatchSource, dict[str, int | None]]:
    """Samples of the first case for the network of these makers, and the numbers of the regions."""
    case_ids, organs = [dataset.cases[0].id], [organ for maker in makers for organ in maker.organs]
    guess = dict.fromkeys(organs, (5.0, 5.0, 5.0))
    boxes = list(makers[0].boxes.values())
    experience = learn(boxes, organs, voxel_mm=(1.0, 1.0, 1.0), first_guess_mm=guess)
    found, stage = regions_of(makers, case_ids, experience), makers[0].stage
    labels, numbers = organ_labels(dataset.labels), {name: one.organ for name, one in found.of_cases.items()}
    seen = plans.of_organ(stage)
    return PatchSource(found.store, list(numbers), seen, stage, labels, regions=found.of_cases), numbers


def test_samples_of_a_shared_network_carry_the_number_of_their_organ(
    dataset: Dataset, shared: tuple[Plans, list[RegionMaker]]
) -> None:
    plans, makers = shared
    source, numbers = source_of(dataset, plans, makers)
    assert set(numbers.values()) == set(range(len(makers)))
    for number in range(2 * len(numbers)):
        image, organ = source.sample(number).image, numbers[source.sampler.case_id(number)]
        assert image.shape == (2, *makers[organ or 0].stage.patch_size)
        assert (image[1] == organ).all()
    for index in range(len(numbers)):
        assert len(source.batch(index).image[:, 1].unique()) == 1


def test_a_network_of_one_organ_sees_the_image_alone(
    dataset: Dataset, shared: tuple[Plans, list[RegionMaker]], tmp_path: Path
) -> None:
    plans, _ = shared
    stage = pair_stage(plans)
    assert stage.region is not None
    alone = replace(stage, region=replace(stage.region, trunk=None))
    boxes = boxes_of(dataset)
    maker = RegionMaker(dataset, plans, alone, boxes, known_of(boxes, stage.region.organs), stored_regions(tmp_path))
    maker.prepare(dataset.cases[0])
    source, numbers = source_of(dataset, plans, [maker])
    assert set(numbers.values()) == {None}
    assert source.sample(0).image.shape == (1, *stage.patch_size)


def test_what_has_a_side_is_never_shown_flipped_from_left_to_right(
    dataset: Dataset, shared: tuple[Plans, list[RegionMaker]]
) -> None:
    plans, makers = shared
    assert set(plans.mirror_axes) == {0, 1, 2}
    source, _ = source_of(dataset, plans, makers)
    rng = np.random.default_rng(0)
    flipped = {axis for _ in range(200) for axis in source.spatial.draw(rng, 1.0).flips}
    assert flipped == {0, 1, 2} - {plans.left_right_axis}


def test_a_given_margin_is_not_measured(dataset: Dataset, plans: Plans, tmp_path: Path) -> None:
    maker = maker_of(dataset, plans, tmp_path)
    guess = dict.fromkeys(maker.organs, (70.0, 80.0, 90.0))
    first, second = maker.organs
    known = learn(
        list(maker.boxes.values()), maker.organs, voxel_mm=(1.0,) * 3, first_guess_mm=guess, given={first}
    ).organs
    assert known[first].margin_low_mm == known[first].margin_high_mm == (70.0, 80.0, 90.0)
    assert known[second].margin_low_mm != (70.0, 80.0, 90.0)
    assert known[first].held == known[first].found > 0
