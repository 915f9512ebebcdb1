"""When organs are planned one by one, and how."""

from __future__ import annotations

from dataclasses import replace

import pytest
from organ_plans import SIZES, fingerprint, plan

from autoseg.errors import OptionError, PlanningError
from autoseg.fingerprint import Fingerprint
from autoseg.labels import Labels
from autoseg.plans import TWO_STAGE
from autoseg.training.changes import TrainingChanges
from planners.default import DefaultPlanner
from planners.options import Overrides, PlanningOptions
from planners.rules.budget import wanted_iterations
from planners.rules.flips import windows_along


def test_the_locator_comes_first_and_pairs_share_a_stage() -> None:
    plans = plan()
    names = plans.configurations[TWO_STAGE]
    assert names == ("locate", "organ_eye_left+eye_right", "organ_optic_nerve", "organ_mandible")
    regions = [plans.stages[name].region for name in names]
    assert [region and region.organs for region in regions] == [
        None,
        ("eye_left", "eye_right"),
        ("optic/nerve",),
        ("mandible",),
    ]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_median_case_is_a_few_windows_of_the_locator(device: str) -> None:
    stage = plan(device=device).stages["locate"]
    windows = 1
    for size, edge in zip(stage.median_shape, stage.patch_size, strict=True):
        windows *= windows_along(size, edge)
    assert windows <= 8


def test_organs_of_other_sizes_get_other_networks() -> None:
    plans = plan()
    nerve, mandible = plans.stages["organ_optic_nerve"], plans.stages["organ_mandible"]
    assert nerve.patch_size != mandible.patch_size
    assert nerve.network != mandible.network
    assert nerve.network.out_channels == 2
    edges = (edge * mm for edge, mm in zip(nerve.patch_size, nerve.spacing_mm, strict=True))
    assert all(edge >= size for edge, size in zip(edges, SIZES["optic/nerve"], strict=True))


def test_a_small_organ_has_a_finer_grid_and_a_large_one_the_full_resolution() -> None:
    stages = plan(fingerprint(SIZES | {"lung": (150.0, 100.0, 130.0)}), "cuda", two_stage="always").stages
    full = stages["3d_fullres"].spacing_mm
    for name, finer in {
        "organ_optic_nerve": 1.5,
        "organ_eye_left+eye_right": (4096 / 1891) ** (1 / 3),
        "organ_lung": 1.0,
    }.items():
        factors = [step / own for step, own in zip(full, stages[name].spacing_mm, strict=True)]
        assert factors == pytest.approx([finer] * 3, rel=0.01), name


def test_a_grid_is_no_finer_than_the_time_allows() -> None:
    for budget in (20, 120):
        stages = plan(budget=budget, two_stage="always").stages
        told = {made.what: made.numbers for made in plan(budget=budget, two_stage="always").decisions}
        finer = stages["organ_optic_nerve"].spacing_mm < stages["3d_fullres"].spacing_mm
        assert finer == (budget == 120)
        numbers = told["organ_optic_nerve.training"]
        assert not finer or numbers["iterations"] >= numbers["wanted_iterations"]


def test_the_larger_one_of_a_pair_gives_the_size() -> None:
    region = plan().stages["organ_eye_left+eye_right"].region
    assert region is not None
    assert region.size_mm == (24.0, 25.0, 28.0)


def test_a_margin_is_what_the_locator_errs_by_however_small_the_organ() -> None:
    plans = plan()
    located_mm = plans.stages["locate"].spacing_mm
    for stage in plans.stages.values():
        if stage.region is not None:
            margins = zip(stage.region.margin_mm, located_mm, stage.region.size_mm, strict=True)
            assert all(margin >= max(2.5 * step, 0.15 * edge, 5.0) - 1e-9 for margin, step, edge in margins)


def test_the_networks_of_organs_share_the_budget_of_a_stage() -> None:
    plans = plan()
    organs = [stage.training for stage in plans.stages.values() if stage.region]
    assert sum(training.budget_seconds or 0 for training in organs) == pytest.approx(1800)
    assert sum(training.budget_share for training in organs) == pytest.approx(1)
    locate = plans.stages["locate"].training
    assert (locate.budget_seconds, locate.budget_share) == (270, 0.15)
    (decision,) = (one for one in plans.decisions if one.what == "locate.training")
    assert decision.numbers["wanted_iterations"] == wanted_iterations(270)
    assert decision.value.endswith("; 4 min")


def test_an_organ_is_planned_for_the_iterations_that_its_share_buys() -> None:
    plans = plan()
    (decision,) = (one for one in plans.decisions if one.what == "organ_mandible.training")
    seconds = plans.stages["organ_mandible"].training.budget_seconds or 0
    assert decision.numbers["wanted_iterations"] == wanted_iterations(seconds) != wanted_iterations(1800)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_larger_organ_has_a_larger_part_of_the_budget_but_no_part_is_tiny(device: str) -> None:
    sizes = {"lens": (8.0, 8.0, 8.0), "eye": (24.0, 25.0, 26.0), "brainstem": (70.0, 45.0, 45.0)}
    plans = plan(fingerprint(sizes | {"mandible": (90.0, 100.0, 120.0)}), device=device, two_stage="always")
    parts = [stage.training.budget_share for stage in plans.stages.values() if stage.region]
    assert parts == sorted(parts)
    assert parts[0] == pytest.approx(0.5 / 4)
    assert parts[-1] > 1.5 / 4


@pytest.mark.parametrize("budget", [60, 300, 1800])
def test_every_organ_gets_about_the_iterations_that_are_wanted(budget: float) -> None:
    plans = plan(fingerprint(SIZES | {"liver": (200.0, 180.0, 160.0)}), budget=budget, two_stage="always")
    told = [
        made.numbers
        for made in plans.decisions
        if made.what.startswith("organ_") and "wanted_iterations" in made.numbers
    ]
    assert len(told) == 4
    assert all(numbers["iterations"] >= 0.9 * numbers["wanted_iterations"] for numbers in told)
    assert plans.stages["organ_mandible"].training.budget_share > 0.6 / 4, "starved by the liver"


@pytest.mark.parametrize(("patch_size", "crops"), [((90, 160, 160), 1), ((45, 160, 160), 3)])
def test_crops_of_a_locator_that_sees_whole_cases_come_from_as_many_cases(
    patch_size: tuple[int, ...], crops: int
) -> None:
    changes = TrainingChanges(crops_per_case=3)
    plans = plan(device="cuda", patch_size=patch_size, locate_shape=(90, 160, 160), training=changes)
    locate, *organs = plans.configuration_stages(TWO_STAGE)
    assert locate.training.crops_per_case == crops
    assert {organ.training.crops_per_case for organ in organs} == {3}
    (decision,) = (one for one in plans.decisions if one.what == "locate.training")
    assert ("--crops-per-case 3, given by the user, is for the organs" in decision.rule) == (crops == 1)


def test_locator_and_margins_can_be_given() -> None:
    stages = plan(locate_shape=(30, 40, 40), region_margin=4).configuration_stages(TWO_STAGE)
    assert stages[0].median_shape == (30.0, 40.0, 40.0)
    regions = [stage.region for stage in stages[1:] if stage.region]
    assert {region.margin_mm for region in regions} == {(12.0, 4.8, 4.8)}
    assert all(region.margin_given for region in regions)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"organ_models": "both"}, "--organ-models must be one of one-each, shared"),
        ({"organ_models": "shared", "two_stage": "never"}, "--organ-models and --two-stage never contradict"),
        ({"region_margin": -1}, "--region-margin must be at least 0"),
        ({"locate_shape": (8, 8)}, "--locate-shape must be three edges"),
    ],
)
def test_options_that_cannot_be(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Overrides(**overrides)  # type: ignore[arg-type]


def test_pairs_that_are_not_confirmed_have_a_network_each() -> None:
    made_from = replace(fingerprint(), pairs=(), unconfirmed_pairs=(("eye_left", "eye_right"),))
    assert {"organ_eye_left", "organ_eye_right"} < set(plan(made_from).stages)


@pytest.mark.parametrize(
    ("made_from", "overrides", "planned"),
    [
        (fingerprint({"liver": (260.0, 180.0, 180.0)}), {}, False),
        (fingerprint({"liver": (260.0, 180.0, 180.0)}), {"two_stage": "always"}, True),
        (fingerprint(), {"two_stage": "never"}, False),
        (Fingerprint.from_summary([[1.0, 1.0, 1.0]] * 9, [[99, 99, 99]] * 9, labels=3), {}, False),
    ],
    ids=["one organ fills the case", "forced", "forbidden", "sizes unknown"],
)
def test_whether_there_are_two_stages(made_from: Fingerprint, overrides: dict[str, str], planned: bool) -> None:
    plans = plan(made_from, **overrides)
    assert (TWO_STAGE in plans.configurations) == planned
    (decision,) = (one for one in plans.decisions if one.what == TWO_STAGE)
    assert decision.value == planned


def test_what_overlaps_cannot_be_forced_into_regions() -> None:
    labels = Labels({"eye_left": (1, 2), "eye_right": (2,)}, region_values=(1, 2))
    options = PlanningOptions(overrides=Overrides(two_stage="always"))
    with pytest.raises(PlanningError, match="classes that overlap"):
        DefaultPlanner().plan(fingerprint(), labels, options)


def test_every_organ_has_its_decisions() -> None:
    plans = plan()
    told = {decision.what: decision.value for decision in plans.decisions}
    for name in plans.configurations[TWO_STAGE][1:]:
        stage = plans.stages[name]
        assert told[f"{name}.spacing_mm"] == pytest.approx(list(stage.spacing_mm), rel=1e-5)
        assert told[f"{name}.widths"] == [level.encoder_widths[-1] for level in stage.network.levels]
    assert all(len(decision.rule) > 10 and len(decision.rejected) > 10 for decision in plans.decisions)
