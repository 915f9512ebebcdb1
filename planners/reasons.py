"""Why each thing was decided: rule, numbers, and the alternative that was rejected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from autoseg.air import MARGIN_MM, TISSUE_ABOVE_HU
from autoseg.files import to_json
from autoseg.fingerprint import Fingerprint
from autoseg.plans import Decision
from planners.cascade import LEAST_COVERED, SHAPE_RULE
from planners.explain import duration
from planners.family import BASE_FILTERS, WIDEST, Family
from planners.options import PlanningOptions
from planners.rules import budget
from planners.rules.normalization import MASKED_BELOW
from planners.stages import StageDraft
from planners.training import training_plan
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
        "median_mm": _rounded(spacing.median_mm),
        "finest_mm": _rounded(fingerprint.spacings.min(axis=0)),
        "coarsest_mm": _rounded(fingerprint.spacings.max(axis=0)),
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
    return Decision("spacing_mm", _rounded(spacing.spacing_mm), rule, numbers, rejected)


def transpose_decision(drafts: Drafts) -> Decision:
    """The order of axes."""
    return Decision(
        "transpose",
        list(drafts.transpose),
        "The coarsest axis comes first; slices for 2D are cut across it.",
        {"spacing_mm": _rounded(drafts.spacing.spacing_mm)},
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


def stage_decisions(
    name: str, draft: StageDraft, drafts: Drafts, options: PlanningOptions, family: Family
) -> Iterator[Decision]:
    """Patch, topology, widths, batch, Dice, training and flips of a stage."""
    yield patch_decision(name, draft, options)
    yield topology_decision(name, draft, options)
    yield widths_decision(name, draft, options)
    yield batch_decision(name, draft, options, family)
    yield batch_dice_decision(name, drafts)
    yield training_decision(name, draft, options)
    yield flips_decision(name, drafts, options)


def patch_decision(name: str, draft: StageDraft, options: PlanningOptions) -> Decision:
    """The patch."""
    numbers = {
        "first_patch": list(draft.first_patch),
        "median_shape": list(draft.grid.median_shape),
        "covered_by_patch": round(draft.covered, 4),
        "feature_map_values": draft.values,
        "allowed_values": round(draft.allowed_values),
    }
    shrunk = draft.patch_size != draft.first_patch
    rule = "A cube in mm of 256^3 voxels, clipped to the median case; the axis that is relatively longest gives way "
    rule = rule.replace("cube in mm of 256^3 voxels", "square in mm of 2048^2 voxels") if name == "2d" else rule
    rule += "until " + (
        "the time and memory at hand suffice." if draft.choice else "the memory of the target suffices."
    )
    rejected = (
        f"The first patch, {list(draft.first_patch)}: {_too_large(draft)}." if shrunk else "A smaller one: all fits."
    )
    if options.overrides.patch_size and len(options.overrides.patch_size) == len(draft.patch_size):
        rule = f"--patch-size, {options.given_by('patch_size')}; padded to what the network can halve."
        rejected = "The rule's patch."
    return Decision(f"{name}.patch_size", list(draft.patch_size), rule, numbers, rejected)


def _too_large(draft: StageDraft) -> str:
    beyond = any(edge > size for edge, size in zip(draft.first_patch, draft.grid.median_shape, strict=True))
    return "it reaches beyond the median case" if draft.choice and beyond else "it does not fit"


def topology_decision(name: str, draft: StageDraft, options: PlanningOptions) -> Decision:
    """Poolings, strides and kernels."""
    topology = draft.topology
    rule = "Halve each axis down to 4 voxels, coarse axes later; kernels span 3 voxels where spacing is within twice."
    if options.overrides.pooling is not None:
        rule = f"--pooling {options.overrides.pooling}, {options.given_by('pooling')}. " + rule
    elif options.overrides.widths:
        rule = f"As many levels as --widths has, {options.given_by('widths')}. " + rule
    return Decision(
        f"{name}.poolings",
        list(topology.poolings),
        rule,
        {"spacing_mm": _rounded(draft.grid.spacing_mm), "levels": len(topology.strides)},
        "One more level: an edge at the bottleneck would fall under 4 voxels."
        if options.overrides.poolings is None
        else "The rule's depth.",
    )


def widths_decision(name: str, draft: StageDraft, options: PlanningOptions) -> Decision:
    """Channels per level."""
    widths = [level.encoder_widths[-1] for level in draft.spec.levels]
    numbers: dict[str, object] = {"most": WIDEST[draft.spec.dimensions]}
    rule = f"{draft.base_filters} at the finest level, doubled per level up to {WIDEST[draft.spec.dimensions]}."
    rejected = f"Others than {BASE_FILTERS}: memory is planned for this width."
    if options.overrides.widths:
        rule, rejected = f"--widths, {options.given_by('widths')}.", f"The rule's {BASE_FILTERS}, doubled per level."
    elif options.overrides.base_filters:
        given = f"--base-filters, {options.given_by('base_filters')}. "
        rule, rejected = given + rule, f"The rule's {BASE_FILTERS}."
    elif draft.choice:
        numbers |= _choice_numbers(draft.choice)
        rule += " The widest, and the largest patch, with which the budget buys the wanted iterations on this CPU."
        rejected = _passed_over(draft.choice)
    return Decision(f"{name}.widths", widths, rule, numbers, rejected)


def batch_decision(name: str, draft: StageDraft, options: PlanningOptions, family: Family) -> Decision:
    """The batch."""
    share = f"{family.covered_share:.0%}"
    numbers = {"by_memory": draft.memory_batch, "by_dataset": draft.data_batch, "dataset_share": family.covered_share}
    rule = f"What memory holds, at most {share} of the dataset's voxels, at least 2."
    rejected = f"A larger one: {'memory' if draft.memory_batch <= draft.data_batch else 'the dataset'} is the limit."
    if options.overrides.batch_size:
        rule = f"--batch-size, {options.given_by('batch_size')}."
        rejected = f"The rule's {max(2, min(draft.memory_batch, draft.data_batch))}."
    elif draft.choice:
        rule = f"On a CPU at most {budget.BATCH_SIZES[draft.spec.dimensions]}, and no more than the GPU's rule gives."
        rejected = (
            f"The GPU's {max(2, min(draft.memory_batch, draft.data_batch))}: fewer, dearer iterations learn less."
        )
    return Decision(f"{name}.batch_size", draft.batch_size, rule, numbers, rejected)


def batch_dice_decision(name: str, drafts: Drafts) -> Decision:
    """Whether Dice is taken over the batch."""
    cascaded = "3d_lowres" in drafts.stages
    over_batch = drafts.has_batch_dice(name)
    return Decision(
        f"{name}.batch_dice",
        over_batch,
        "Dice over the batch as one volume where a patch shows only part of a case, and in a CPU's cascade.",
        {"has_low_resolution": cascaded},
        "Per sample: a patch without the organ gives a Dice that jumps between 0 and 1."
        if over_batch
        else "Over the batch: large organs would hide small ones of another sample.",
    )


def training_decision(name: str, draft: StageDraft, options: PlanningOptions) -> Decision:
    """How the stage is trained by default."""
    plan, choice, changes = training_plan(draft, options), draft.choice, options.overrides.training.given
    length = "1000 epochs of 250 iterations" if choice is None else duration(budget.DEFAULT_BUDGET_SECONDS)
    length = _duration_or(options.target.budget_seconds, length)
    rule = "The peer's schedule, which a GPU has time for."
    rejected = "muon: found better in minutes on a CPU, not tried for days."
    if choice is not None:
        rule = "On a CPU: orthogonal steps (Muon), a cosine to zero over the budget, averaged weights, Dice without"
        rule += " cross-entropy."
        rejected = "AdamW, or cross-entropy besides: about twice the iterations for the same Dice in our experiments."
    if changes:
        rule = f"{'; '.join(_changed(changes, options))}. What is left by the rule: {rule}"
        rejected = "The rule in these matters."
    value = f"{plan.optimizer}, {plan.schedule}, {plan.loss}; {length}"
    numbers = (_choice_numbers(choice) if choice else {}) | to_json(changes)
    return Decision(f"{name}.training", value, rule, numbers, rejected)


def _changed(changes: dict[str, object], options: PlanningOptions) -> Iterator[str]:
    """What was changed, grouped by who gave it."""
    for giver in sorted({options.given_by(name) for name in changes}):
        yield f"{', '.join(name for name in changes if options.given_by(name) == giver)} {giver}"


def flips_decision(name: str, drafts: Drafts, options: PlanningOptions) -> Decision:
    """Whether prediction averages over flips."""
    flips = drafts.flips(name, options)
    return Decision(
        f"{name}.flips",
        flips.chosen,
        "Prediction averages over all flips on a GPU, and on a CPU up to 1e12 multiply-adds per case.",
        {"windows_per_case": flips.windows, "multiply_adds_with_flips": flips.work},
        "None: faster by the number of flips, at a little less Dice."
        if flips.chosen == "all"
        else "All: a little more Dice, for minutes per case; autoseg_predict --flips all does it.",
    )


def _choice_numbers(choice: budget.Choice) -> dict[str, object]:
    return {
        "seconds_per_iteration": float(f"{choice.seconds_per_iteration:.3g}"),
        "iterations": choice.iterations,
        "wanted_iterations": choice.wanted,
    }


def _passed_over(choice: budget.Choice) -> str:
    if choice.passed_over is None:
        return "Narrower ones: the budget buys enough iterations with these."
    passed = choice.passed_over
    patch = "x".join(str(edge) for edge in passed.topology.patch_size)
    fewer = choice.passed_over_iterations
    why = f"only {fewer} iterations" if fewer < choice.wanted else f"{passed.bytes / 1024**3:.1f} GiB of memory"
    return f"{passed.base_filters} with the patch {patch}: {why}."


def _duration_or(seconds: float | None, otherwise: str) -> str:
    return duration(seconds) if seconds else otherwise


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
