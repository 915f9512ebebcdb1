"""Two stages with networks that are known functions: what they see, what becomes of it, and which side it is."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autoseg.geometry import Box, Geometry
from autoseg.inference.chain import Chain, ChainOutput, Wanted
from autoseg.inference.cleaning import REMOVED, cleaned
from autoseg.inference.ensemble import Ensemble
from autoseg.inference.memory import REGION_ARRAYS, Source, case_bytes
from autoseg.inference.model import Model
from autoseg.inference.predictor import PredictionOptions, StagePredictor
from autoseg.inference.two_stage import EXPECTED_ONLY, FOUND_THERE, LOCATED_ONLY, TwoStageChain, make_predictor
from autoseg.io import Volume
from autoseg.labels import Labels
from autoseg.locating.boxes import OVERSIZE
from autoseg.locating.experience import Experience, Offset, OrganExperience
from autoseg.locating.regions import MISSED
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
from autoseg.postprocessing import Rule

LABELS = Labels({"eye_left": (1,), "eye_right": (2,), "stem": (3,)})
SHAPE = (16, 24, 40)
LEFT, RIGHT, STEM = Box((4, 4, 4), (8, 8, 9)), Box((4, 4, 31), (8, 8, 36)), Box((9, 12, 17), (13, 16, 22))
FP32 = PredictionOptions(precision="fp32", device="cpu", backend="torch")
SIZE = (4.0, 4.0, 5.0)
REMOVES_THE_STEM = (Rule("minimum_volume", "stem", 1000.0),)


class Known(nn.Module):
    """Logits as a function of the patch; keeps what it was shown."""

    spec = None

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function
        self.seen: list[Tensor] = []

    def forward(self, batch: Tensor) -> Tensor:
        self.seen.append(batch.clone())
        return self.function(batch)


def painted(names: tuple[str, ...] = LABELS.names) -> np.ndarray:
    labels = np.zeros(SHAPE, dtype=np.int16)
    for name, box in zip(LABELS.names, (LEFT, RIGHT, STEM), strict=True):
        labels[box.slices] = LABELS.classes[name][0] if name in names else 0
    return labels


def volume() -> Volume:
    """Bright where an organ is, a little brighter towards its left end, in dim tissue."""
    image = np.where(painted() > 0, 10.0, 1.0).astype(np.float32)
    return Volume((image + np.linspace(0.5, 0, SHAPE[2], dtype=np.float32))[None], Geometry(SHAPE, (1.0, 1.0, 1.0)))


def stage(name: str, organs: tuple[str, ...] = (), patch: int = 8) -> StagePlan:
    network = NetworkSpec("unet", 3, 1, 2, (LevelSpec((1, 1, 1), (3, 3, 3), (8,)),))
    region = RegionPlan(organs, SIZE, (2.0, 2.0, 2.0)) if organs else None
    return StagePlan(name, (1.0,) * 3, (16.0,) * 3, (patch,) * 3, 1, network, False, region=region)


def make_plans(stages: list[StagePlan], mirror_axes: tuple[int, ...]) -> Plans:
    return Plans(
        name="plans",
        planner="default",
        dataset_name="Dataset001_Eyes",
        fingerprint="",
        target=Target("cpu", 1 << 30),
        transpose=(0, 1, 2),
        channels=(ChannelPlan("CT", "none", IntensityStatistics(0, 0, 1, -1, 1, -1, 1)),),
        stages={one.name: one for one in stages},
        configurations={"3d_two_stage": tuple(one.name for one in stages)},
        mirror_axes=mirror_axes,
        left_right_axis=2,
        left_right_pairs=(("eye_left", "eye_right"),),
    )


def known_of(organ: str) -> OrganExperience:
    boxes = dict(zip(LABELS.names, (LEFT, RIGHT, STEM), strict=True))
    middles = {name: (np.add(box.start, box.stop) - 1)[::-1] / 2 for name, box in boxes.items()}
    offsets = {
        other: Offset(tuple((middles[organ] - middles[other]).tolist()), (0.5, 0.5, 0.5))
        for other in LABELS.names
        if other != organ
    }
    return OrganExperience((1.0,) * 3, (1.0,) * 3, SIZE, offsets, 9, 9, 9)


def bright(batch: Tensor) -> Tensor:
    return torch.cat([5 - batch, batch - 5], dim=1)


def nothing(batch: Tensor) -> Tensor:
    return torch.cat([batch * 0 + 1, batch * 0], dim=1)


def by_place(names: tuple[str, ...]):
    """A locator that knows the whole volume, which it sees in one window."""

    def locate(batch: Tensor) -> Tensor:
        labels = torch.from_numpy(painted(names).astype(np.int64))
        return nn.functional.one_hot(labels, 4).movedim(-1, 0)[None].float() * 4

    return locate


class Scene:
    """The chain over locator, eyes and stem."""

    def __init__(self, names=LABELS.names, eyes=bright, mirror_axes=(0, 1, 2)) -> None:
        stages = [stage("locate"), stage("organ_eyes", ("eye_left", "eye_right")), stage("organ_stem", ("stem",))]
        object.__setattr__(stages[0], "patch_size", SHAPE)
        self.plans = make_plans(stages, mirror_axes)
        self.eyes, self.stem = Known(eyes), Known(bright)
        none = PredictionOptions(precision="fp32", device="cpu", backend="torch", flips="none")
        locator = StagePredictor([Known(by_place(names))], self.plans, stages[0], LABELS, none)
        organs = [
            make_predictor([network], self.plans, one, LABELS, FP32)
            for network, one in zip((self.eyes, self.stem), stages[1:], strict=True)
        ]
        experience = Experience({name: known_of(name) for name in LABELS.names})
        self.chain = TwoStageChain(locator, organs, self.plans, LABELS, experience)

    def run(self, **wanted: bool) -> ChainOutput:
        return self.chain.run(self.chain.prepare(volume()), Wanted(**wanted))


def test_every_organ_is_segmented_in_its_region_with_flips() -> None:
    output = Scene().run()
    np.testing.assert_array_equal(output.labels, painted())
    assert output.not_found == {}


def test_the_right_one_is_seen_mirrored() -> None:
    scene = Scene(mirror_axes=())
    scene.run()
    left, right = scene.eyes.seen
    part = volume().array[0]
    np.testing.assert_array_equal(left[0, 0], part[2:10, 2:10, 3:11])
    np.testing.assert_array_equal(right[0, 0], part[2:10, 2:10, 30:38][:, :, ::-1])


@pytest.mark.parametrize("mirror_axes", [(), (0, 1, 2)], ids=["no flips", "all flips"])
def test_an_answer_on_one_side_of_the_patch_lands_on_the_right_side_of_the_volume(mirror_axes: tuple[int, ...]) -> None:
    def lateral(batch: Tensor) -> Tensor:
        """Organ on the low half along x of what is shown: lateral of a left eye."""
        side = torch.arange(batch.shape[-1]).expand_as(batch) < batch.shape[-1] // 2
        return torch.cat([~side, side], dim=1).float() * 9

    labels = Scene(eyes=lateral, mirror_axes=mirror_axes).run().labels
    assert labels is not None
    columns = {value: np.unique(np.argwhere(labels == value)[:, 2]).tolist() for value in (1, 2)}
    assert columns == {1: [3, 4, 5, 6], 2: [34, 35, 36, 37]}


def test_a_network_with_a_side_is_never_flipped_from_left_to_right() -> None:
    scene = Scene()
    scene.run()
    assert (len(scene.eyes.seen), len(scene.stem.seen)) == (2 * 4, 8)


def test_windows_outside_the_regions_are_not_computed() -> None:
    scene = Scene(mirror_axes=())
    scene.run()
    assert [tuple(one.shape[2:]) for one in (*scene.eyes.seen, *scene.stem.seen)] == [(8, 8, 8)] * 3


def test_a_missed_organ_is_found_at_its_expected_place() -> None:
    output = Scene(names=("eye_left", "stem")).run()
    np.testing.assert_array_equal(output.labels, painted())
    assert output.not_found == {}
    assert output.missed == {"eye_right": f"{MISSED}; {FOUND_THERE}"}
    assert Scene().run().missed == {}


def test_of_an_organ_located_everywhere_no_more_is_searched_than_it_may_fill() -> None:
    scene = Scene(mirror_axes=())
    cutter = scene.chain.prepare(volume()).cutter
    assert cutter is not None
    scene.chain.segment(np.full(SHAPE, 3, dtype=np.int16), cutter, Wanted())
    assert scene.chain.largest_regions(cutter.geometry)["stem"] == (14, 14, 15)
    assert sum(map(len, scene.stem.seen)) == 28  # 3 x 3 x 3 windows in pairs; 135 would cover the volume


@pytest.mark.parametrize(("located", "why"), [(True, LOCATED_ONLY), (False, f"{MISSED}, and {EXPECTED_ONLY}")])
def test_an_organ_that_its_network_does_not_see_is_reported(located: bool, why: str) -> None:
    names = LABELS.names if located else ("eye_left", "stem")
    output = Scene(names=names, eyes=nothing).run()
    assert output.not_found["eye_right"] == why
    assert output.missed.get("eye_right") == (None if located else why)
    np.testing.assert_array_equal(output.labels, painted(("stem",)))


def test_where_nothing_is_located_every_organ_is_reported() -> None:
    output = Scene(names=()).run()
    assert list(output.not_found) == list(LABELS.names)
    assert output.missed == output.not_found
    assert output.labels is not None
    assert not output.labels.any()


def test_an_organ_that_postprocessing_removes_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    files = SimpleNamespace(labels=LABELS, channel_names=("CT",))
    model = Model(files, Scene().chain, REMOVES_THE_STEM)
    predicted = Ensemble([model]).predict(volume())
    np.testing.assert_array_equal(predicted.labels.array, painted(("eye_left", "eye_right")))
    assert predicted.not_found == {"stem": REMOVED}
    np.testing.assert_array_equal(model.predict_volume(volume()).array, predicted.labels.array)
    assert f"case: stem was not found: {REMOVED}" in caplog.text


def test_what_was_missing_before_cleaning_keeps_its_reason() -> None:
    said = ChainOutput(painted(("eye_left", "stem")), None, {"eye_right": LOCATED_ONLY})
    told = cleaned(said, REMOVES_THE_STEM, [Scene().chain], LABELS, volume().geometry).not_found
    assert list(told.items()) == [("eye_right", LOCATED_ONLY), ("stem", REMOVED)]


def test_a_chain_that_looks_for_no_organ_misses_none() -> None:
    chain = Chain(Scene().chain.predictors, Scene().plans, LABELS)
    told = cleaned(ChainOutput(painted(), None), REMOVES_THE_STEM, [chain], LABELS, volume().geometry).not_found
    assert told == {}


def test_probabilities_decide_as_the_labels_do() -> None:
    output = Scene().run(probabilities=True)
    assert output.probabilities is not None
    np.testing.assert_array_equal(output.probabilities.argmax(axis=0), output.labels)


def test_progress_ends_with_everything_done() -> None:
    scene, told = Scene(), []
    scene.chain.run(scene.chain.prepare(volume()), progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1


def test_memory_counts_the_volume_and_the_regions() -> None:
    chain, source = Scene().chain, Source.of(volume())
    locating = Chain(chain.predictors, chain.plans, LABELS)
    more = case_bytes([chain], source, Wanted(), cleans=False) - case_bytes([locating], source, Wanted(), cleans=False)
    assert more >= source.bytes


def test_memory_counts_regions_as_large_as_they_may_be() -> None:
    chain, source = Scene().chain, Source((240, 250, 260), (0.05, 0.05, 0.05), 4)
    regions = chain.largest_regions(Geometry(source.shape, source.spacing_mm)).values()
    assert all(edge >= OVERSIZE * mm / 0.05 for edges in regions for edge, mm in zip(edges, SIZE, strict=True))
    voxels = [math.prod(edges) for edges in regions]
    least = source.bytes + 4 * (sum(voxels) + REGION_ARRAYS * max(voxels))
    assert case_bytes([chain], source, Wanted(), cleans=False) >= least
