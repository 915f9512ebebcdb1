"""One network for all organs: its size, and the grids of the organs on it."""

from __future__ import annotations

import pytest
from organ_plans import SIZES, fingerprint, plan

from autoseg.errors import PlanningError
from autoseg.networks.closed_form import parameter_count, shared_parameter_count
from autoseg.plans import TWO_STAGE, StagePlan, Target
from planners.default import DefaultPlanner
from planners.options import Overrides, PlanningOptions
from planners.rules.budget import parts_by_cost
from planners.rules.memory import training_bytes

MEBIBYTE = 1024**2
TRAININGS = ("organ_lens.training", "organ_eye_left+eye_right.training")
PAIR_AND_LENS = {"lens": (8.0, 8.0, 8.0), "eye_left": (24.0, 25.0, 26.0), "eye_right": (24.0, 25.0, 28.0)}
MORE = SIZES | {"lens": (8.0, 8.0, 8.0), "brainstem": (60.0, 40.0, 40.0)}


def organs(**overrides: object) -> list[StagePlan]:
    budget = float(str(overrides.pop("budget", 1800)))
    stages = plan(fingerprint(MORE), budget=budget, **overrides).configuration_stages(TWO_STAGE)
    return [stage for stage in stages if stage.region]


@pytest.mark.parametrize(
    ("costs", "parts"),
    [((1, 1), (0.5, 0.5)), ((3, 1), (0.75, 0.25)), ((1000, 1), (0.75, 0.25)), ((8, 4, 1), (5 / 9, 5 / 18, 1 / 6))],
)
def test_parts_of_a_budget_are_by_cost_but_never_tiny(costs: tuple[float, ...], parts: tuple[float, ...]) -> None:
    assert parts_by_cost(costs) == pytest.approx(parts)


def test_all_organs_share_one_network_and_one_training() -> None:
    stages = organs(organ_models="shared")
    assert {stage.network_name for stage in stages} == {"organs"}
    for of in ("network", "batch_size", "training", "batch_dice"):
        assert len({getattr(stage, of) for stage in stages}) == 1, of


def test_half_of_the_time_buys_half_of_the_iterations_that_one_network_each_wants() -> None:
    made_from = fingerprint(PAIR_AND_LENS)
    separate, shared = (
        [made.numbers["wanted_iterations"] for made in plans.decisions if made.what in TRAININGS]
        for plans in (plan(made_from, two_stage="always", organ_models=models) for models in ("one-each", "shared"))
    )
    assert shared == [sum(separate) // 2] * len(separate) == shared[:2]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("budget", [120, 1800, 36000])
def test_that_takes_a_third_of_the_weights_and_half_of_the_time(device: str, budget: float) -> None:
    separate = organs(device=device, budget=budget)
    shared = organs(device=device, budget=budget, organ_models="shared")
    weights = sum(parameter_count(stage.network) for stage in separate)
    assert shared_parameter_count(shared[0].network, len(shared)) <= weights / 3
    assert shared[0].training.budget_share == 0.5
    assert sum(stage.training.budget_share for stage in separate) == pytest.approx(1)


@pytest.mark.parametrize("region_margin", [None, 1])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_each_has_the_grid_of_a_network_of_its_own_and_a_patch_that_holds_as_much(
    device: str, region_margin: int | None
) -> None:
    separate, shared = (
        organs(device=device, region_margin=region_margin, organ_models=models) for models in ("one-each", "shared")
    )
    assert len({stage.patch_size for stage in shared}) > 2
    for own, one in zip(separate, shared, strict=True):
        assert (one.spacing_mm, one.median_shape) == (own.spacing_mm, own.median_shape)
        edges = zip(one.patch_size, own.patch_size, own.median_shape, one.network.divisor, strict=True)
        for edge, before, size, step in edges:
            assert edge % step == 0
            assert min(before, size) <= edge < max(size + step, 2 * step + 1)
            assert edge // step >= 2, "no map of a single voxel"


def in_memory(memory: int, **overrides: object) -> list[StagePlan]:
    """The stages of two organs, a long one and a cube, that share a network: their number asks for no fewer weights."""
    made_from = fingerprint({"cord": (250.0, 30.0, 30.0), "brainstem": (60.0, 40.0, 40.0)})
    options = PlanningOptions(
        target=Target("cpu", memory, 36000),
        overrides=Overrides(organ_models="shared", two_stage="always", **overrides),  # type: ignore[arg-type]
        seconds_per_multiply_add=1e-14,
    )
    plans = DefaultPlanner().plan(made_from, None, options)
    return [stage for stage in plans.configuration_stages(TWO_STAGE) if stage.region]


@pytest.mark.parametrize("memory", [300, 540, 800])
def test_a_shared_network_trains_its_largest_patch_in_the_memory(memory: int) -> None:
    """540 MiB would hold that of a network of its own, but not what it grows to."""
    needed = [bytes_of(stage) for stage in in_memory(memory * MEBIBYTE)]
    assert min(needed) < max(needed) <= memory * MEBIBYTE


def test_widths_that_are_given_must_fit_into_the_memory() -> None:
    with pytest.raises(PlanningError, match=r"all organs share takes 712 MiB at least.*Raise --memory"):
        in_memory(670 * MEBIBYTE, base_filters=32)


def bytes_of(stage: StagePlan) -> int:
    return training_bytes(stage.network, stage.patch_size, stage.batch_size)


def test_dice_is_taken_over_the_batch_where_a_patch_may_hold_nothing_of_its_organ() -> None:
    whole, long = MORE, MORE | {"cord": (250.0, 30.0, 30.0)}
    for sizes, over_batch in ((whole, False), (long, True)):
        made_from = fingerprint({name: size for name, size in sizes.items() if name != "mandible"})
        stages = plan(made_from, budget=120, organ_models="shared", two_stage="always").configuration_stages(TWO_STAGE)
        assert {stage.batch_dice for stage in stages if stage.region} == {over_batch}


def test_widths_that_are_given_stay() -> None:
    (filters,) = {stage.network.levels[0].encoder_widths[0] for stage in organs(organ_models="shared", base_filters=32)}
    assert filters == 32


def test_where_one_organ_has_a_side_none_is_flipped_from_left_to_right() -> None:
    plans = plan(fingerprint(MORE), mirror="all", organ_models="shared")
    brainstem = plans.stages["organ_brainstem"]
    assert plans.left_right_axis in plans.mirror_axes
    assert plans.left_right_axis not in plans.of_organ(brainstem).mirror_axes
    alone = plan(fingerprint(MORE), mirror="all")
    assert alone.left_right_axis in alone.of_organ(alone.stages["organ_brainstem"]).mirror_axes


def test_the_plan_says_what_sharing_saves() -> None:
    told = {made.what: made for made in plan(fingerprint(MORE), organ_models="shared").decisions}
    models = told["organ_models"]
    assert models.value == "shared"
    assert models.numbers["weights"] <= models.numbers["weights_of_one_each"] / 3
    assert told["organ_lens.training"].numbers["budget_share"] == 0.5
