"""Why a stage is as it is: patch, topology, widths, batch, Dice, training and flips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from autoseg.files import to_json
from autoseg.plans import Decision
from planners.explain import duration
from planners.family import BASE_FILTERS, WIDEST, Family
from planners.options import PlanningOptions
from planners.rules import budget
from planners.stages import StageDraft
from planners.training import training_plan

if TYPE_CHECKING:
    from planners.planning import Drafts


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
        {"spacing_mm": rounded(draft.grid.spacing_mm), "levels": len(topology.strides)},
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


def rounded(values: Sequence[float]) -> list[float]:
    """Six digits, which a reader can take in."""
    return [float(f"{value:.6g}") for value in values]
