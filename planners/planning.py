"""From a fingerprint to plans: the order in which things are decided."""

from __future__ import annotations

from dataclasses import dataclass, replace

from autoseg.errors import PlanningError
from autoseg.fingerprint import Fingerprint
from autoseg.labels import Labels
from autoseg.plans import TWO_STAGE, ChannelPlan, Ints, NetworkSpec, Plans, StagePlan
from planners import reasons
from planners.cascade import LowResolution, find_low_resolution
from planners.family import Family
from planners.options import PlanningOptions
from planners.rules.air import Air, choose_air
from planners.rules.flips import Flips, choose_flips
from planners.rules.mirroring import Mirroring, choose_mirroring
from planners.rules.normalization import plan_channels
from planners.rules.spacing import Grid, TargetSpacing, axis_order, resampled_median_shape, target_spacing
from planners.stages import StageDraft, StagePlanner
from planners.training import training_plan
from planners.two_stage import TwoStage, plan_two_stage, two_stage_plans


@dataclass(frozen=True)
class Drafts:
    """Everything that was decided, before it is written down as plans.

    stages: by name, in the order of the plans. low: the search for a low resolution; two_stage: the locator and the
    organs; both None where there is no 3D.
    """

    spacing: TargetSpacing
    transpose: Ints
    channels: tuple[ChannelPlan, ...]
    mirroring: Mirroring
    air: Air
    stages: dict[str, StageDraft]
    low: LowResolution | None
    two_stage: TwoStage | None

    def has_batch_dice(self, name: str) -> bool:
        """Whether Dice is taken over the batch: where a patch shows only a part of the case, and in a CPU's cascade.

        The peer takes it per sample at the low resolution. In a short training that pushes every class which a patch
        does not show to zero, and small organs never leave it.
        """
        if name == "2d":
            return True
        return "3d_lowres" in self.stages and (name == "3d_fullres" or self.stages[name].choice is not None)

    def flips(self, name: str, options: PlanningOptions) -> Flips:
        """Whether the prediction of a stage averages over flips."""
        full = self.stages.get("3d_fullres")
        slices = full.grid.median_shape[0] if full else 1.0
        return choose_flips(self.stages[name], self.mirroring.axes, slices=slices, device=options.target.device)


def make_plans(
    family: Family, fingerprint: Fingerprint, labels: Labels | None = None, options: PlanningOptions | None = None
) -> Plans:
    """Decide everything about a dataset, with networks of a family.

    labels: None for the fingerprint's classes as plain labels. options: None for the peer's 8 GB GPU. Raises
    PlanningError for a memory, patch or pooling that leaves no network.
    """
    labels, options = labels or fingerprint.plain_labels, options or PlanningOptions()
    if not fingerprint.cases:
        raise PlanningError("A plan needs at least one training case.")
    if options.overrides.encoder_depth:
        family = replace(family, encoder_depth=options.overrides.encoder_depth)
    drafts = _draft(family, fingerprint, labels, options)
    stages = {name: _stage_plan(name, draft, drafts, options) for name, draft in drafts.stages.items()}
    if "3d_lowres" in stages:
        stages["3d_cascade_fullres"] = _guided(stages["3d_fullres"], "3d_lowres", len(labels.classes))
    located = {} if drafts.two_stage is None else two_stage_plans(drafts.two_stage, drafts.mirroring, options)
    return Plans(
        name=options.name,
        planner=family.planner,
        dataset_name=fingerprint.dataset_name,
        fingerprint=fingerprint.checksum,
        target=options.target,
        transpose=drafts.transpose,
        channels=drafts.channels,
        stages=stages | located,
        configurations=_configurations(stages) | ({TWO_STAGE: tuple(located)} if located else {}),
        mirror_axes=drafts.mirroring.axes,
        left_right_axis=drafts.mirroring.left_right_axis,
        left_right_pairs=drafts.mirroring.pairs,
        air=drafts.air.rule,
        recipe=options.recipe.name if options.recipe else None,
        decisions=reasons.decisions(drafts, fingerprint, options, family),
    )


def _draft(family: Family, fingerprint: Fingerprint, labels: Labels, options: PlanningOptions) -> Drafts:
    spacings, shapes = fingerprint.spacings, fingerprint.cropped_shapes
    spacing = target_spacing(spacings, shapes)
    if options.overrides.spacing_mm:
        spacing = replace(spacing, spacing_mm=options.overrides.spacing_mm)
    transpose = axis_order(spacing.spacing_mm)
    fullres = _full_grid(spacing, resampled_median_shape(spacings, shapes, spacing.spacing_mm), transpose)
    planner = StagePlanner(
        family,
        options,
        in_channels=len(fingerprint.channels),
        out_channels=labels.output_count,
        label_count=1 + len(labels.classes) + (labels.ignore is not None),
        cases=len(fingerprint.cases),
        patch_size=_in_plan_order(options.overrides.patch_size, transpose),
        lowres_shape=_in_plan_order(options.overrides.lowres_shape, transpose),
        locate_shape=_in_plan_order(options.overrides.locate_shape, transpose),
    )
    stages, low = _draft_stages(fullres, planner)
    _check_pooling(stages, options)
    mirroring = choose_mirroring(fingerprint, labels, transpose, wanted=options.mirrors)
    full = stages.get("3d_fullres")
    two_stage = None if full is None else plan_two_stage(full, planner, fingerprint, labels, transpose)
    channels, air = plan_channels(fingerprint, options.overrides.clip), choose_air(fingerprint)
    return Drafts(spacing, transpose, channels, mirroring, air, stages, low, two_stage)


def _full_grid(spacing: TargetSpacing, shape: tuple[float, ...], transpose: Ints) -> Grid:
    voxels = shape[0] * shape[1] * shape[2]
    return Grid(tuple(spacing.spacing_mm[axis] for axis in transpose), tuple(shape[axis] for axis in transpose), voxels)


def _in_plan_order(patch: Ints | None, transpose: Ints) -> Ints | None:
    """The user's patch: three edges are transposed, two are those of the slices."""
    return tuple(patch[axis] for axis in transpose) if patch and len(patch) == 3 else patch


def _draft_stages(fullres: Grid, planner: StagePlanner) -> tuple[dict[str, StageDraft], LowResolution | None]:
    """2d always; the 3D stages unless the median case is a single slice."""
    dataset_voxels = fullres.voxels * planner.cases
    slices = Grid(fullres.spacing_mm[1:], fullres.median_shape[1:], fullres.median_shape[1] * fullres.median_shape[2])
    stages = {"2d": planner.draft(slices, dataset_voxels)}
    if fullres.median_shape[0] == 1:
        if planner.options.overrides.cascade == "always" or planner.lowres_shape:
            raise PlanningError(
                "The cases are single slices: there is no cascade.", "Leave out --cascade always and --lowres-shape."
            )
        return stages, None
    full = planner.draft(fullres, dataset_voxels)
    low = find_low_resolution(full, planner)
    if low.draft is not None:
        stages["3d_lowres"] = low.draft
    return stages | {"3d_fullres": full}, low


def _check_pooling(stages: dict[str, StageDraft], options: PlanningOptions) -> None:
    wanted = options.overrides.poolings
    name = "3d_fullres" if "3d_fullres" in stages else "2d"
    possible = len(stages[name].topology.strides) - 1
    if wanted is None or wanted <= possible:
        return
    given, remedy = f"--pooling {wanted}", f"--pooling {possible}"
    if options.overrides.widths:
        given, remedy = f"--widths with {wanted + 1} levels", f"{possible + 1} widths"
    raise PlanningError(
        f"{given} is too deep: the patch {stages[name].patch_size} of {name} can be halved "
        f"{possible} times before an edge falls under 4 voxels.",
        f"Use {remedy} or a larger --patch-size.",
    )


def _stage_plan(name: str, draft: StageDraft, drafts: Drafts, options: PlanningOptions) -> StagePlan:
    return StagePlan(
        name=name,
        spacing_mm=draft.grid.spacing_mm,
        median_shape=draft.grid.median_shape,
        patch_size=draft.patch_size,
        batch_size=draft.batch_size,
        network=draft.spec,
        batch_dice=drafts.has_batch_dice(name),
        training=training_plan(draft, options),
        flips=drafts.flips(name, options).chosen,
    )


def _guided(fullres: StagePlan, previous: str, classes: int) -> StagePlan:
    """The full resolution as the later stage of a cascade: one more input channel per class."""
    network: NetworkSpec = replace(fullres.network, in_channels=fullres.network.in_channels + classes)
    return replace(fullres, name="3d_cascade_fullres", network=network, previous_stage=previous)


def _configurations(stages: dict[str, StagePlan]) -> dict[str, tuple[str, ...]]:
    alone: dict[str, tuple[str, ...]] = {name: (name,) for name, stage in stages.items() if not stage.previous_stage}
    return alone | ({"3d_cascade": ("3d_lowres", "3d_cascade_fullres")} if "3d_cascade_fullres" in stages else {})
