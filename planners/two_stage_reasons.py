"""Why organs are, or are not, located and then segmented one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autoseg.plans import Decision
from planners.explain import duration
from planners.options import PlanningOptions
from planners.organ_networks import SHARED_TIME, SHARED_WEIGHTS, OrganDraft
from planners.rules.budget import LEAST_PART
from planners.rules.mirroring import Mirroring
from planners.rules.organs import (
    COARSEST,
    LARGEST_SHARE,
    LEAST_MARGIN_MM,
    LOCATOR_VOXELS,
    MARGIN_SHARE,
    SMALL_VOXELS,
    SURROUNDINGS,
)
from planners.training import training_plan
from planners.two_stage import LOCATE, LOCATE_SHARE, MOST_WINDOWS, TwoStage, locator_training, organ_flips


def two_stage_decisions(found: TwoStage, mirroring: Mirroring, options: PlanningOptions) -> Iterator[Decision]:
    """Whether, then the locator, then every organ."""
    numbers = {"regions_in_case": round(found.share, 4), "largest": LARGEST_SHARE}
    if found.locate is None:
        rejected = "Organs one by one in their regions; --two-stage always forces it where it is possible."
        yield Decision("3d_two_stage", False, f"{found.why}.", numbers, rejected)
        return
    forced = options.overrides.two_stage == "always"
    rule = "Where the regions of all organs fill less than half of the median case, each gets a network of its own."
    rule = f"--two-stage always, {options.given_by('two_stage')}." if forced else rule
    yield Decision("3d_two_stage", True, rule, numbers, "One network alone: its grid and width suit no organ best.")
    yield _locator_decision(found, options)
    yield _locator_training_decision(found, options)
    yield _models_decision(found, options)
    for organ in found.organs:
        yield _grid_decision(organ, found, options)
        yield _network_decision(organ, found, options)
        yield _training_decision(organ, found, options)
        yield _flips_decision(organ, found, mirroring, options)


def _locator_decision(found: TwoStage, options: PlanningOptions) -> Decision:
    assert found.locate is not None
    draft = found.locate
    rule = f"The finest grid on which prediction takes at most {MOST_WINDOWS} windows of the median case."
    if options.overrides.locate_shape:
        rule = f"A median case has at most the voxels of --locate-shape, {options.given_by('locate_shape')}."
    return Decision(
        LOCATE,
        _rounded(draft.grid.spacing_mm),
        rule,
        {
            "windows": found.windows,
            "patch_size": list(draft.patch_size),
            "median_shape": list(draft.grid.median_shape),
            "base_filters": draft.base_filters,
        },
        "A finer one: finding an organ needs its surroundings more than its edges.",
    )


def _locator_training_decision(found: TwoStage, options: PlanningOptions) -> Decision:
    assert found.locate is not None
    plan, choice = locator_training(found.locate, options), found.locate.choice
    length = duration(plan.budget_seconds) if plan.budget_seconds else f"{plan.epochs} epochs"
    numbers: dict[str, object] = {"budget_share": LOCATE_SHARE}
    numbers |= {} if choice is None else {"iterations": choice.iterations, "wanted_iterations": choice.wanted}
    rule = f"Where there is a budget per fold and stage, a training of the locator has {LOCATE_SHARE:.0%} of it."
    asked = options.overrides.training.crops_per_case
    if asked not in (None, plan.crops_per_case):
        numbers["crops_per_case"] = plan.crops_per_case
        rule += f" --crops-per-case {asked}, {options.given_by('crops_per_case')}, is for the organs: the locator's "
        rule += "patch sees a whole case, and a batch would be copies of one."
    return Decision(
        f"{LOCATE}.training",
        f"{plan.optimizer}, {plan.schedule}, {plan.loss}; {length}",
        rule,
        numbers,
        "All of it: usually three locators are trained for a fold, so that every case has boxes of one that has not "
        "seen it, and finding organs takes less than contouring them.",
    )


def _models_decision(found: TwoStage, options: PlanningOptions) -> Decision:
    """Whether organs share a network, and what that saves."""
    if found.trunk is None:
        return Decision(
            "organ_models",
            "one-each",
            "Each organ, or left and right pair, has a network of its own, for its size.",
            {"networks": len(found.organs)},
            "One for all: a third of the weights and half of the time; --organ-models shared plans it.",
        )
    draft = found.organs[0].draft
    return Decision(
        "organ_models",
        "shared",
        f"--organ-models, {options.given_by('organ_models')}: all organs share the convolutions, and each has a scale "
        f"and a shift per normalised map, and heads. That has {SHARED_TIME:.0%} of the time of one network each, and "
        f"from three networks on at most {SHARED_WEIGHTS:.0%} of their weights.",
        {
            "weights": found.trunk.weights,
            "weights_of_one_each": found.trunk.separate_weights,
            "organs": len(found.organs),
            "base_filters": draft.base_filters,
        },
        "The organ's number as an input channel: the first normalisation takes constants away.",
    )


def _grid_decision(organ: OrganDraft, found: TwoStage, options: PlanningOptions) -> Decision:
    draft, region = organ.draft, organ.group.region
    rule, rejected = _own_grid(organ) if found.trunk is None else _shared_grid()
    if region.margin_given:
        given = options.given_by("region_margin")
        margin = f"{options.overrides.region_margin} voxels of the full resolution (--region-margin, {given})"
    else:
        margin = f"{MARGIN_SHARE:.0%} of its edge, at least {LOCATOR_VOXELS:g} voxels of the locator and "
        margin += f"{LEAST_MARGIN_MM:g} mm; edges up to {max(SURROUNDINGS):g} times as long where a wide network "
        margin += "of its own affords it"
    return Decision(
        f"{organ.group.stage_name}.spacing_mm",
        _rounded(draft.grid.spacing_mm),
        f"{rule} The region is the box of three organs in four and on either side {margin}.",
        {
            "organs": list(region.organs),
            "size_mm": _rounded(region.size_mm),
            "margin_mm": _rounded(region.margin_mm),
            "region_shape": list(draft.grid.median_shape),
            "patch_size": list(draft.patch_size),
        },
        rejected,
    )


def _own_grid(organ: OrganDraft) -> tuple[str, str]:
    """The rule of an organ with a network of its own, and what was rejected."""
    rule = (
        "The finest grid on which a patch that time and memory afford holds the region, from the full resolution on; "
    )
    rule += f"where a median organ has less than {SMALL_VOXELS} voxels there, so that it is mostly edge, from up to "
    rule += f"{COARSEST:g} times finer on, as long as the time buys the wanted iterations."
    if organ.holds_region:
        return rule, f"A coarser one, up to {COARSEST:g} times: edges would be lost for nothing."
    return rule, f"A coarser one: even at {COARSEST:g} times no patch holds the region, so it takes several windows."


def _shared_grid() -> tuple[str, str]:
    """The rule of organs that share a network, and what was rejected."""
    rule = "The grid and the patch that a network of its own would have; the patch in multiples of what the shared "
    rule += "network halves. A batch holds regions of one organ."
    return rule, "One patch for all: what holds a spinal cord is mostly empty around a lens."


def _network_decision(organ: OrganDraft, found: TwoStage, options: PlanningOptions) -> Decision:
    draft = organ.draft
    pair = len(organ.group.region.organs) == 2
    numbers: dict[str, object] = {"batch_size": draft.batch_size, "boxes": organ.group.cases}
    asked, poolings = options.overrides.poolings, len(draft.topology.strides) - 1
    if asked is not None and poolings < asked:
        numbers["poolings"] = f"{poolings} of {asked} asked for"
    return Decision(
        f"{organ.group.stage_name}.widths",
        [level.encoder_widths[-1] for level in draft.spec.levels],
        ("The rules of the other stages, for this region. " if found.trunk is None else "Those of the shared network. ")
        + ("Left and right share the network: the right one is mirrored." if pair else "One organ, one network."),
        numbers,
        "A network for each side: half of the examples for twice the time."
        if pair
        else "A larger one: it would learn too little in the time."
        if draft.choice is not None
        else "A smaller one: memory allows this.",
    )


def _training_decision(organ: OrganDraft, found: TwoStage, options: PlanningOptions) -> Decision:
    plan = training_plan(organ.draft, options, share=organ.share)
    length = duration(plan.budget_seconds) if plan.budget_seconds else f"{plan.epochs} epochs"
    numbers: dict[str, object] = {"budget_share": round(organ.share, 4), "multiply_adds_per_iteration": organ.work}
    rule = "All organs together are one stage. A network's part of its budget goes by the root of what iterations over "
    rule += f"its region cost, between equal parts and parts by cost; at least {LEAST_PART:g} of an equal one."
    rejected = "Equal parts starve large organs; parts by the cost alone starve all but the largest."
    if found.trunk is not None:
        rule = f"All organs are trained together, in {SHARED_TIME:.0%} of the budget of one network each."
        rejected = "All of that time: each organ learns from the regions of the others too."
    choice = organ.draft.choice
    numbers |= {} if choice is None else {"iterations": choice.iterations, "wanted_iterations": choice.wanted}
    return Decision(
        f"{organ.group.stage_name}.training",
        f"{plan.optimizer}, {plan.schedule}, {plan.loss}; {length}",
        rule,
        numbers,
        rejected,
    )


def _flips_decision(organ: OrganDraft, found: TwoStage, mirroring: Mirroring, options: PlanningOptions) -> Decision:
    flips = organ_flips(organ, found, mirroring, options)
    return Decision(
        f"{organ.group.stage_name}.flips",
        flips.chosen,
        "As for the other stages; a network for an organ that has a side is never flipped from left to right.",
        {"windows_per_region": flips.windows, "multiply_adds_with_flips": flips.work},
        "Left to right too: the network would learn both sides, and a pair is mirrored already.",
    )


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
