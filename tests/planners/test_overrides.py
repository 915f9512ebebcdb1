from __future__ import annotations

import math
from dataclasses import replace

import pytest

from autoseg.errors import OptionError, PlanningError
from autoseg.fingerprint import CaseFacts, Fingerprint
from autoseg.labels import Labels
from autoseg.plans import Plans, Target
from autoseg.training.changes import TrainingChanges
from planners.default import DefaultPlanner
from planners.options import GIBIBYTE, Overrides, PlanningOptions

SMALL = Fingerprint.from_summary([[1.0, 1.0, 1.0]] * 20, [[36, 50, 35]] * 20, labels=3)
LIVER = Fingerprint.from_summary([[1.0, 0.77, 0.77]] * 20, [[432, 512, 512]] * 20, labels=3)
SIDEWAYS = Fingerprint.from_summary([[1.0, 1.0, 5.0]] * 20, [[200, 180, 40]] * 20, labels=3)


def plan(fingerprint: Fingerprint = SMALL, **overrides: object) -> Plans:
    return DefaultPlanner().plan(fingerprint, None, PlanningOptions(overrides=Overrides(**overrides)))  # type: ignore[arg-type]


def test_base_filters() -> None:
    widths = [level.encoder_widths for level in plan(base_filters=12).stages["3d_fullres"].network.levels]
    assert widths == [(12, 12), (24, 24), (48, 48), (96, 96)]


def test_pooling() -> None:
    assert len(plan(pooling=2).stages["3d_fullres"].network.levels) == 3
    with pytest.raises(PlanningError, match=r"--pooling 9 is too deep.*Use --pooling 3"):
        plan(pooling=9)


@pytest.mark.parametrize("pooling", [3, 4, 5])
@pytest.mark.parametrize("seconds", [30.0, 600.0])
def test_a_small_budget_leaves_room_for_the_poolings(pooling: int, seconds: float) -> None:
    options = PlanningOptions(target=Target("cpu", 8 * GIBIBYTE, seconds), overrides=Overrides(pooling=pooling))
    full = DefaultPlanner().plan(LIVER, None, options).stages["3d_fullres"]
    assert len(full.network.levels) == pooling + 1
    free = DefaultPlanner().plan(LIVER, None, PlanningOptions(target=options.target)).stages["3d_fullres"]
    assert pooling < 5 or math.prod(full.patch_size) > math.prod(free.patch_size)


def test_batch_size_shrinks_the_patch_until_it_fits() -> None:
    larger = plan(LIVER, batch_size=8).stages["3d_fullres"]
    assert larger.batch_size == 8
    assert larger.patch_size < plan(LIVER).stages["3d_fullres"].patch_size


def test_patch_and_spacing_are_given_in_the_volumes_order() -> None:
    assert SIDEWAYS.spacings[0].tolist() == [1, 1, 5]
    plans = plan(SIDEWAYS, patch_size=(64, 48, 16), spacing_mm=(1.5, 1.25, 4.0))
    assert plans.transpose == (2, 0, 1)
    assert plans.stages["3d_fullres"].patch_size == (16, 64, 48)
    assert plans.stages["3d_fullres"].spacing_mm == (4.0, 1.5, 1.25)


def test_a_patch_is_padded_to_what_the_network_can_halve() -> None:
    assert plan(patch_size=(33, 40, 40)).stages["3d_fullres"].patch_size == (40, 40, 40)


def test_two_edges_are_the_2d_patch() -> None:
    plans = plan(patch_size=(32, 32))
    assert plans.stages["2d"].patch_size == (32, 32)
    assert plans.stages["3d_fullres"] == plan().stages["3d_fullres"]


def test_a_cascade_can_be_forced() -> None:
    plans = plan(cascade="always")
    assert plans.configurations["3d_cascade"] == ("3d_lowres", "3d_cascade_fullres")
    full, low = plans.stages["3d_fullres"], plans.stages["3d_lowres"]
    volume = [stage.spacing_mm[0] * stage.spacing_mm[1] * stage.spacing_mm[2] for stage in (full, low)]
    assert volume[1] / volume[0] >= 4
    assert full.batch_dice


def test_a_cascade_can_be_left_out() -> None:
    assert "3d_cascade" in plan(LIVER).configurations
    without = plan(LIVER, cascade="never")
    assert set(without.configurations) == {"2d", "3d_fullres"}
    assert not without.stages["3d_fullres"].batch_dice


def test_single_slices_have_no_3d_and_no_cascade() -> None:
    slices = Fingerprint.from_summary([[5.0, 1, 1]] * 3, [[1, 64, 64]] * 3, labels=2)
    assert list(plan(slices).configurations) == ["2d"]
    with pytest.raises(PlanningError, match="single slices"):
        plan(slices, cascade="always")


def test_too_little_memory_is_an_error_with_a_remedy() -> None:
    with pytest.raises(PlanningError, match="Raise --memory"):
        DefaultPlanner().plan(LIVER, None, PlanningOptions(target=Target("cuda", 1000)))


@pytest.mark.parametrize("fingerprint", [SMALL, LIVER, SIDEWAYS])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_no_edge_of_a_feature_map_is_a_single_voxel(fingerprint: Fingerprint, device: str) -> None:
    plans = DefaultPlanner().plan(fingerprint, None, PlanningOptions(target=Target(device, 8 * GIBIBYTE)))
    for stage in plans.stages.values():
        bottom = [edge // step for edge, step in zip(stage.patch_size, stage.network.divisor, strict=True)]
        assert min(bottom) >= 2


def test_thin_volumes_are_padded_to_two_voxels() -> None:
    thin = Fingerprint.from_summary([[1.0, 1, 1]] * 3, [[64, 64, 1]] * 3, labels=2)
    assert plan(thin).stages["3d_fullres"].patch_size[2] == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"base_filters": 0}, "--base-filters must be at least 1"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
        ({"patch_size": (32,)}, "--patch-size must be three edges"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "--spacing must be three positive"),
        ({"cascade": "perhaps"}, "--cascade must be one of"),
        ({"clip": (300.0, -300.0)}, "--clip must be two numbers"),
        ({"widths": (8, 0)}, "--widths must be whole numbers of at least 1"),
        ({"encoder_depth": (0,)}, "--encoder-depth must be whole numbers of at least 1"),
        ({"widths": (8, 16), "pooling": 1}, "--widths says what"),
        ({"lowres_shape": (8, 8)}, "--lowres-shape must be three edges"),
        ({"lowres_shape": (8, 8, 8), "cascade": "never"}, "--lowres-shape and --cascade never contradict"),
    ],
)
def test_impossible_overrides_are_refused(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Overrides(**overrides)  # type: ignore[arg-type]


def with_channels(*names: str, relative_size: float = 1.0) -> Fingerprint:
    case = CaseFacts((1.0, 1.0, 1.0), (round(50 / relative_size), 50, 50), (50, 50, 50))
    made = Fingerprint.from_summary([[1.0] * 3], [[50] * 3], labels=2, channels=len(names))
    return replace(made, channels=names, cases={"a": case})


def test_channels_are_normalised_by_their_names() -> None:
    schemes = [channel.scheme for channel in plan(with_channels("cT", "T1", "noNorm", "rescale_to_0_1")).channels]
    assert schemes == ["ct", "zscore", "none", "rescale"]


def test_z_scores_are_masked_where_cropping_removed_much() -> None:
    assert [channel.masked for channel in plan(with_channels("CT", "T1", relative_size=0.5)).channels] == [False, True]
    assert not plan(with_channels("T1", relative_size=0.8)).channels[0].masked


SIDED = Labels({"kidney_left": (1,), "kidney_right": (2,)})
PAIR = (("kidney_left", "kidney_right"),)


def plan_sided(**changes: object) -> Plans:
    return DefaultPlanner().plan(replace(SIDEWAYS, **changes), SIDED)  # type: ignore[arg-type]


def test_confirmed_pairs_are_exchanged_along_the_left_right_axis() -> None:
    plans = plan_sided(pairs=PAIR)
    assert plans.mirror_axes == (0, 1, 2)
    assert plans.left_right_pairs == PAIR
    assert plans.transpose[plans.left_right_axis or 0] == 2


def test_a_pair_by_name_alone_is_never_flipped_sideways() -> None:
    plans = plan_sided(unconfirmed_pairs=PAIR)
    assert plans.left_right_axis not in plans.mirror_axes
    assert len(plans.mirror_axes) == 2


def test_mixed_orientations_leave_out_every_sideways_axis() -> None:
    first, *others = SIDEWAYS.cases.items()
    cases = dict([(first[0], replace(first[1], left_right_axis=1)), *others])
    assert len(plan_sided(pairs=PAIR, cases=cases).mirror_axes) == 1


def encoder_widths(plans: Plans, stage: str = "3d_fullres") -> list[tuple[int, ...]]:
    return [level.encoder_widths for level in plans.stages[stage].network.levels]


def test_widths_stand_for_depth_and_base_filters() -> None:
    assert encoder_widths(plan(widths=(10, 30, 50))) == [(10, 10), (30, 30), (50, 50)]
    with pytest.raises(PlanningError, match=r"--widths with 9 levels is too deep.*Use 4 widths"):
        plan(widths=(8,) * 9)


def test_the_depth_of_the_encoder_is_kept_on_a_cpu_too() -> None:
    assert [len(widths) for widths in encoder_widths(plan(LIVER, encoder_depth=(1, 3)))][:4] == [1, 3, 3, 3]
    options = PlanningOptions(target=Target("cpu", 8 * GIBIBYTE), overrides=Overrides(encoder_depth=(3, 1)))
    widths = encoder_widths(DefaultPlanner().plan(LIVER, None, options))
    assert [len(level) for level in widths][:3] == [3, 1, 1]


def test_clip_is_for_ct_and_reaches_the_plan() -> None:
    options = PlanningOptions(overrides=Overrides(clip=(-300.0, 300.0)))
    made = DefaultPlanner().plan(with_channels("CT", "T1"), None, options).channels
    assert [(channel.scheme, channel.clip) for channel in made] == [("clip", (-300.0, 300.0)), ("zscore", None)]
    with pytest.raises(PlanningError, match="there is none \\(there are T1\\)"):
        DefaultPlanner().plan(with_channels("T1"), None, options)


def test_the_low_resolution_has_the_given_shape_in_the_volumes_order() -> None:
    low = plan(SIDEWAYS, lowres_shape=(100, 60, 20)).stages["3d_lowres"]
    assert low.median_shape == (20.0, 100.0, 60.0)
    assert low.spacing_mm == pytest.approx((10.0, 2.0, 3.0))


def test_a_shape_that_saves_too_little_falls_back_to_the_rule() -> None:
    assert plan(lowres_shape=(64, 64, 64)).stages["3d_lowres"] == plan(cascade="always").stages["3d_lowres"]


def test_training_is_changed_in_every_stage() -> None:
    plans = plan(LIVER, training=TrainingChanges(loss="focal", learning_rate=0.25))
    assert {(stage.training.loss, stage.training.learning_rate) for stage in plans.stages.values()} == {("focal", 0.25)}
    assert {stage.training.optimizer for stage in plans.stages.values()} == {"sgd"}
