"""Why organs are, or are not, located and then segmented one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autoseg.plans import Decision
from planners.explain import duration
from planners.options import PlanningOptions
from planners.rules.mirroring import Mirroring
from planners.rules.organs import COARSEST, LARGEST_SHARE, LEAST_MARGIN_MM, MARGIN_SHARE, SURROUNDINGS
from planners.training import training_plan
from planners.two_stage import LOCATE, MOST_WINDOWS, OrganDraft, TwoStage, organ_flips


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
    yield _locator_decision(found)
    for organ in found.organs:
        yield _grid_decision(organ)
        yield _network_decision(organ)
        yield _training_decision(organ, found, options)
        yield _flips_decision(organ, mirroring, options)


def _locator_decision(found: TwoStage) -> Decision:
    assert found.locate is not None
    draft = found.locate
    return Decision(
        LOCATE,
        _rounded(draft.grid.spacing_mm),
        f"The finest grid on which prediction takes at most {MOST_WINDOWS} windows of the median case.",
        {
            "windows": found.windows,
            "patch_size": list(draft.patch_size),
            "median_shape": list(draft.grid.median_shape),
            "base_filters": draft.base_filters,
        },
        "A finer one: finding an organ needs its surroundings more than its edges.",
    )


def _grid_decision(organ: OrganDraft) -> Decision:
    draft, region = organ.draft, organ.group.region
    return Decision(
        f"{organ.group.stage_name}.spacing_mm",
        _rounded(draft.grid.spacing_mm),
        "The finest grid, from the full resolution on, on which a patch that time and memory afford holds the region: "
        f"the box of three organs in four and on either side {MARGIN_SHARE:.0%} of its edge, at least "
        f"{LEAST_MARGIN_MM:g} mm; edges up to {max(SURROUNDINGS):g} times as long where a wide network affords it.",
        {
            "organs": list(region.organs),
            "size_mm": _rounded(region.size_mm),
            "margin_mm": _rounded(region.margin_mm),
            "region_shape": list(draft.grid.median_shape),
            "patch_size": list(draft.patch_size),
        },
        f"A coarser one, up to {COARSEST:g} times: edges would be lost for nothing."
        if organ.holds_region
        else f"A coarser one: even at {COARSEST:g} times no patch holds the region, so it takes several windows.",
    )


def _network_decision(organ: OrganDraft) -> Decision:
    draft = organ.draft
    pair = len(organ.group.region.organs) == 2
    numbers: dict[str, object] = {"batch_size": draft.batch_size, "boxes": organ.group.cases}
    if draft.choice is not None:
        numbers |= {"iterations": draft.choice.iterations, "wanted_iterations": draft.choice.wanted}
    return Decision(
        f"{organ.group.stage_name}.widths",
        [level.encoder_widths[-1] for level in draft.spec.levels],
        "The rules of the other stages, for this region. "
        + ("Left and right share the network: the right one is mirrored." if pair else "One organ, one network."),
        numbers,
        "A network for each side: half of the examples for twice the time."
        if pair
        else "A network shared with other organs: they differ in size and surroundings.",
    )


def _training_decision(organ: OrganDraft, found: TwoStage, options: PlanningOptions) -> Decision:
    plan = training_plan(organ.draft, options, share=found.budget_share)
    length = duration(plan.budget_seconds) if plan.budget_seconds else f"{plan.epochs} epochs"
    return Decision(
        f"{organ.group.stage_name}.training",
        f"{plan.optimizer}, {plan.schedule}, {plan.loss}; {length}",
        "All organs together are one stage, and each network has an equal share of its budget.",
        {"budget_share": round(found.budget_share, 4)},
        "Shares by size: small organs are the hard ones.",
    )


def _flips_decision(organ: OrganDraft, mirroring: Mirroring, options: PlanningOptions) -> Decision:
    flips = organ_flips(organ, mirroring, options)
    return Decision(
        f"{organ.group.stage_name}.flips",
        flips.chosen,
        "As for the other stages; an organ that has a side is never flipped from left to right.",
        {"windows_per_region": flips.windows, "multiply_adds_with_flips": flips.work},
        "Left to right too: the network would learn both sides, and a pair is mirrored already.",
    )


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
