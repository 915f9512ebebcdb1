"""Recipes: data that the command understands, and plans that hold what they say."""

from __future__ import annotations

import argparse
from dataclasses import replace

import pytest
from organ_plans import facts

from autoseg.cli.plan_and_preprocess import make_parser, suggested_configuration
from autoseg.cli.planning_options import PlanningDecisions, planning_decisions
from autoseg.errors import OptionError
from autoseg.fingerprint import Fingerprint
from autoseg.plans import Plans, Target
from autoseg.registry import resolve
from planners import PLANNERS
from planners.options import GIBIBYTE, PlanningOptions
from planners.recipes import RECIPES, find_recipe


def with_sizes(summary: Fingerprint, **sizes_mm: tuple[float, float, float]) -> Fingerprint:
    """The same with classes of these sizes (z, y, x), all of which every case has."""
    return replace(summary, classes={name: facts(size) for name, size in sizes_mm.items()}, channels=("CT",))


LIVER = with_sizes(
    Fingerprint.from_summary([[1.0, 0.77, 0.77]] * 20, [[432, 512, 512]] * 20, labels=2), liver=(220.0, 190.0, 230.0)
)
HEAD = with_sizes(
    Fingerprint.from_summary([[3.0, 1.0, 1.0]] * 20, [[120, 300, 260]] * 20, labels=4),
    brainstem=(60.0, 40.0, 40.0),
    optic_nerve=(8.0, 30.0, 15.0),
    mandible=(90.0, 100.0, 120.0),
)


def parse(*arguments: str) -> argparse.Namespace:
    return make_parser().parse_args(["-d", "1", *arguments])


def decide(*arguments: str) -> PlanningDecisions:
    return planning_decisions(parse(*arguments))


def plan(fingerprint: Fingerprint, *arguments: str, device: str = "cuda") -> Plans:
    made = decide(*arguments)
    options = PlanningOptions("plans", Target(device, 16 * GIBIBYTE, 600.0), made.overrides, 1e-11, made.recipe)
    return resolve("planner", PLANNERS, made.planner)().plan(fingerprint, None, options)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_what_its_options_are(name: str) -> None:
    recipe = RECIPES[name]
    by_name, by_hand = decide("--recipe", name), decide(*recipe.arguments)
    assert (by_name.planner, by_name.overrides) == (by_hand.planner, by_hand.overrides)
    assert by_name.recipe is not None
    assert len(by_name.recipe.fields) == len(recipe.options)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_plan_names_its_recipe_and_its_source(name: str, device: str) -> None:
    plans = plan(LIVER, "--recipe", name, device=device)
    assert plans.recipe == name
    assert suggested_configuration(plans) == RECIPES[name].configuration
    (decision,) = (made for made in plans.decisions if made.what == "recipe")
    assert RECIPES[name].source in decision.rule
    assert len(decision.numbers) == len(RECIPES[name].options) - ("planner" in RECIPES[name].options)


def test_the_thesis_on_the_head_and_neck() -> None:
    plans = plan(HEAD, "--recipe", "head_neck_thesis", device="cpu")
    names = ("locate", "organ_brainstem", "organ_optic_nerve", "organ_mandible")
    assert plans.configurations["3d_two_stage"] == names
    for stage in plans.configuration_stages("3d_two_stage"):
        widths = [level.encoder_widths[-1] for level in stage.network.levels]
        assert widths == [24, 48, 96, 192] or stage.name == "organ_optic_nerve"
        training = stage.training
        assert (training.loss, training.shift_voxels, training.rotation_degrees) == ("focal", 8, 5.0)
        assert training.scales == (0.9, 1.1)
    assert plans.mirror_axes == ()
    reasons = {made.what: made.rule for made in plans.decisions}
    assert "given by the recipe head_neck_thesis" in reasons["3d_fullres.poolings"]
    assert "given by the recipe head_neck_thesis" in reasons["3d_fullres.training"]


def test_a_region_too_small_for_the_poolings_of_the_thesis_has_fewer_and_says_so() -> None:
    """The lens's has 7 x 15 x 15 voxels on its finest grid: halved twice along all axes that are long enough."""
    small = with_sizes(HEAD, lens=(8.0, 8.0, 8.0), mandible=(90.0, 100.0, 120.0))
    plans = plan(small, "--recipe", "head_neck_thesis", "--region-margin", "1", device="cpu")
    lens = plans.stages["organ_lens"]
    assert [level.encoder_widths[-1] for level in lens.network.levels] == [24, 48, 96]
    assert min(lens.patch_size) < 4 * lens.training.shift_voxels
    told = {made.what: made.numbers for made in plans.decisions}
    assert told["organ_lens.widths"]["poolings"] == "2 of 3 asked for"
    assert "poolings" not in told["organ_mandible.widths"]


def test_the_liver_coarse_to_fine() -> None:
    plans = plan(LIVER, "--recipe", "liver_coarse_to_fine")
    assert plans.planner == "residual"
    assert (plans.channels[0].scheme, plans.channels[0].clip) == ("clip", (-300.0, 300.0))
    coarse, fine = plans.configuration_stages("3d_two_stage")
    assert (coarse.median_shape, coarse.patch_size, fine.patch_size) == ((128.0,) * 3, (128,) * 3, (128,) * 3)
    assert coarse.spacing_mm == pytest.approx((432 / 128, 512 * 0.77 / 128, 512 * 0.77 / 128))
    assert fine.spacing_mm == (1.0, 0.77, 0.77)
    assert fine.region is not None
    assert fine.region.margin_given
    assert fine.region.margin_mm == pytest.approx((30.0, 30 * 0.77, 30 * 0.77))
    for stage in (coarse, fine):
        assert stage.network.architecture == "residual_unet"
        assert [level.encoder_widths for level in stage.network.levels] == [(16,), (32,), (64,), (128,), (256,)]
        training = stage.training
        assert (training.optimizer, training.learning_rate, training.loss) == ("novograd", 0.004, "dice")
        assert (training.schedule, training.first_cycle_epochs, training.cycle_growth) == ("cosine_restarts", 5, 3)
        assert (stage.batch_size, training.foreground_fraction) == (4, 0.5)
        assert (training.whole_validation_epochs, training.cached) == (10, True)


def test_four_crops_of_the_liver_are_for_the_fine_stage() -> None:
    """A coarse patch is a whole case: four of one case would be four copies."""
    plans = plan(LIVER, "--recipe", "liver_coarse_to_fine")
    coarse, fine = plans.configuration_stages("3d_two_stage")
    assert (coarse.training.crops_per_case, fine.training.crops_per_case) == (1, 4)
    (decision,) = (made for made in plans.decisions if made.what == "locate.training")
    assert "--crops-per-case 4, given by the recipe liver_coarse_to_fine, is for the organs" in decision.rule
    assert decision.numbers["crops_per_case"] == 1


def test_what_the_user_gives_comes_before_the_recipe() -> None:
    plans = plan(HEAD, "--recipe", "head_neck_thesis", "--loss", "ce", "--two-stage", "never", "--base-filters", "12")
    assert plans.stages["3d_fullres"].training.loss == "ce"
    assert "3d_two_stage" not in plans.configurations
    assert suggested_configuration(plans) in ("3d_cascade", "3d_fullres")
    reasons = {made.what: made.rule for made in plans.decisions}
    assert "--base-filters, given by the user" in reasons["3d_fullres.widths"]
    assert "loss given by the user" in reasons["3d_fullres.training"]


def test_widths_of_the_user_replace_base_filters_and_pooling_of_the_recipe() -> None:
    overrides = decide("--recipe", "head_neck_thesis", "--widths", "8,16").overrides
    assert (overrides.widths, overrides.base_filters, overrides.pooling) == ((8, 16), None, None)
    overrides = decide("--recipe", "liver_coarse_to_fine", "--pooling", "2").overrides
    assert (overrides.widths, overrides.pooling) == (None, 2)


def test_what_belongs_to_two_stages_goes_with_them() -> None:
    overrides = decide("--recipe", "liver_coarse_to_fine", "--two-stage", "never").overrides
    assert (overrides.two_stage, overrides.locate_shape, overrides.region_margin) == ("never", None, None)


def test_an_unknown_recipe_lists_those_that_there_are() -> None:
    with pytest.raises(OptionError, match=r"no recipe 'lungs'.*head_neck_thesis, liver_coarse_to_fine"):
        find_recipe("lungs")


def test_without_a_recipe_nothing_is_said_of_one() -> None:
    plans = plan(HEAD)
    assert plans.recipe is None
    assert not [made for made in plans.decisions if made.what == "recipe" or "recipe" in made.rule]
