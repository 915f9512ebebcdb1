"""Why each thing was decided: rule, numbers, and the alternative that was rejected. Here: what all stages share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from autoseg.air import MARGIN_MM, TISSUE_ABOVE_HU
from autoseg.files import to_json
from autoseg.fingerprint import Fingerprint
from autoseg.plans import Decision
from planners.cascade import LEAST_COVERED, SHAPE_RULE
from planners.family import Family
from planners.options import PlanningOptions
from planners.rules.normalization import MASKED_BELOW
from planners.stage_reasons import rounded, stage_decisions
from planners.two_stage_reasons import two_stage_decisions

if TYPE_CHECKING:
    from planners.planning import Drafts


def decisions(
    drafts: Drafts, fingerprint: Fingerprint, options: PlanningOptions, family: Family
) -> tuple[Decision, ...]:
    """All decisions, in the order in which a reader asks."""
    found = [
        *recipe_decision(options),
        spacing_decision(drafts, fingerprint, options),
        transpose_decision(drafts),
        *normalization_decisions(drafts, fingerprint, options),
        mirroring_decision(drafts, fingerprint),
        air_decision(drafts),
        *low_resolution_decision(drafts, options),
    ]
    for name, draft in drafts.stages.items():
        found += stage_decisions(name, draft, drafts, options, family)
    if drafts.two_stage is not None:
        found += two_stage_decisions(drafts.two_stage, drafts.mirroring, options)
    return tuple(found)


def recipe_decision(options: PlanningOptions) -> Iterator[Decision]:
    """The published system that these plans follow, and what of it was kept."""
    if options.recipe is None:
        return
    values = {**vars(options.overrides), **options.overrides.training.given}
    kept = {name: values[name] for name in sorted(options.recipe.fields) if name in values}
    yield Decision(
        "recipe",
        options.recipe.name,
        f"A published system: {options.recipe.source}",
        to_json(kept),
        "What the planner's rules would decide in these matters.",
    )


def spacing_decision(drafts: Drafts, fingerprint: Fingerprint, options: PlanningOptions) -> Decision:
    """The spacing of the full resolution."""
    spacing = drafts.spacing
    numbers = {
        "median_mm": rounded(spacing.median_mm),
        "finest_mm": rounded(fingerprint.spacings.min(axis=0)),
        "coarsest_mm": rounded(fingerprint.spacings.max(axis=0)),
        "median_cropped_shape": list(spacing.median_shape),
    }
    rule = "The median spacing per axis."
    rejected = f"The finest, {numbers['finest_mm']} mm: most voxels of most cases would be invented by interpolation."
    if numbers["finest_mm"] == numbers["median_mm"]:
        rejected = "A coarser one: it would save time at the price of detail that every case has."
    if options.overrides.spacing_mm:
        rule = f"--spacing, {options.given_by('spacing_mm')}."
        rejected = f"The rule: {numbers['median_mm']} mm, the median or a lower percentile of it."
    elif spacing.anisotropic:
        rule = "The median; on the one axis that is over 3 times coarser and 3 times shorter, the 10th percentile."
        rejected = f"The median of that axis too, {numbers['median_mm']} mm: cases with thinner slices would lose them."
    return Decision("spacing_mm", rounded(spacing.spacing_mm), rule, numbers, rejected)


def transpose_decision(drafts: Drafts) -> Decision:
    """The order of axes."""
    return Decision(
        "transpose",
        list(drafts.transpose),
        "The coarsest axis comes first; slices for 2D are cut across it.",
        {"spacing_mm": rounded(drafts.spacing.spacing_mm)},
        "The order of the files: where the coarsest axis is not the first, slices would be coarse in one direction.",
    )


def normalization_decisions(drafts: Drafts, fingerprint: Fingerprint, options: PlanningOptions) -> Iterator[Decision]:
    """How each channel is normalised."""
    for channel in drafts.channels:
        rejected = "CT scaling by the dataset: intensities of this channel have no common unit."
        rule = "A channel called CT keeps its unit over all cases; others are scaled case by case, unless named so."
        if channel.scheme == "ct":
            rejected = "z-score per case: it would throw away the unit that all CT share."
        if channel.clip is not None:
            rule = f"--clip {channel.clip[0]:g},{channel.clip[1]:g}, {options.given_by('clip')}: mapped to [-1, 1]."
            rejected = "The dataset's own percentiles, mean and deviation."
        yield Decision(
            f"normalization of {channel.name}",
            channel.scheme + (" within the non-zero mask" if channel.masked else ""),
            rule,
            {"median_relative_size": round(fingerprint.median_relative_size, 4), "masked_below": MASKED_BELOW},
            rejected,
        )


def mirroring_decision(drafts: Drafts, fingerprint: Fingerprint) -> Decision:
    """Along which axes patches are flipped."""
    mirroring = drafts.mirroring
    rule = "Flips along every axis; a flip from left to right exchanges the labels of left and right organs."
    rejected = "Flips without exchange: a left organ would be taught, and found, as the right one."
    if not mirroring.axes:
        rule = f"No flips: {mirroring.why}."
        rejected = "Flips along every axis: the peer's choice for long trainings; --mirror all forces them."
    elif mirroring.left_out:
        rule = f"No flips from left to right, because {mirroring.why}."
        rejected = "Flips along every axis: they could teach one side as the other."
    elif not fingerprint.pairs:
        rule = "Flips along every axis: no class has a side in its name."
        rejected = "No flips: training would see an eighth of the variety."
    numbers = {"pairs": [list(pair) for pair in fingerprint.pairs], "left_right_axis": mirroring.left_right_axis}
    if fingerprint.unconfirmed_pairs:
        numbers["unconfirmed_pairs"] = [list(pair) for pair in fingerprint.unconfirmed_pairs]
    return Decision("mirror_axes", list(mirroring.axes), rule, numbers, rejected)


def air_decision(drafts: Drafts) -> Decision:
    """Which windows prediction leaves out."""
    air = drafts.air
    numbers: dict[str, object] = {"tissue_above_hu": TISSUE_ABOVE_HU, "margin_mm": MARGIN_MM}
    numbers |= {"voxels_in_air": air.in_air} if air.in_air else {}
    rule = "No window is left out: no channel is called CT, and only in CT has air a value of its own."
    rejected = "Windows of zeros: in MR what is zero depends on the scanner; the empty rim is cropped already."
    if air.in_air:
        name = max(air.in_air, key=lambda key: air.in_air[key])
        rule = f"No window is left out: {name} has training voxels farther from all tissue than the margin."
        rejected = "Windows of air: voxels of that class would be lost with them."
    elif air.rule is not None:
        rule = "A window is background without tissue in it or within the margin; no training voxel of a class lies so."
        rejected = (
            "Air joined to the outside: so are lungs, through the airways. Without a margin: cavities would be lost."
        )
    return Decision("air", "left out" if air.rule else "run", rule, numbers, rejected)


def low_resolution_decision(drafts: Drafts, options: PlanningOptions) -> Iterator[Decision]:
    """Whether there is a cascade."""
    low = drafts.low
    if low is None:
        return
    numbers = {"covered_by_patch": round(low.covered, 4), "least_covered": LEAST_COVERED}
    numbers |= {"fewer_voxels": round(low.reduction, 2)} if low.reduction > 1 else {}
    saved = f"it would save only a factor {low.reduction:.2f} of voxels, less than 2"
    if options.overrides.cascade != "auto" and low.rule != SHAPE_RULE:
        rule = f"--cascade {options.overrides.cascade}, {options.given_by('cascade')}."
        rejected = "The rule: a low resolution where a patch covers less than a quarter of the median case."
    elif low.rule == SHAPE_RULE:
        rule = f"{low.rule} ({options.given_by('lowres_shape')})"
        rejected = "The finest grid of which a patch covers a quarter."
    else:
        rule = low.rule
        rejected = (
            "The full resolution alone: its patch shows too little of the surroundings."
            if low.draft
            else f"A cascade: {saved if low.reduction > 1 else 'the patch shows enough of the surroundings'}."
        )
    yield Decision("3d_lowres", low.draft is not None, rule, numbers, rejected)
