"""What a planner decided about a dataset, as values: every stage, its network, and why.

All per-axis values are in the plan's own axis order: transpose[a] is the volume's axis (0 z, 1 y, 2 x) that becomes
axis a of the prepared arrays. The per-axis values of a 2D stage have two entries, for axes 1 and 2: axis 0 is not
resampled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autoseg.errors import PlanningError
from autoseg.files import read_artefact, write_json

PLANS_SCHEMA = 1
TWO_STAGE = "3d_two_stage"
"""The configuration that locates all organs and then segments each in its region."""
Ints = tuple[int, ...]


@dataclass(frozen=True)
class LevelSpec:
    """One resolution of a U-Net; level 0 is the finest.

    stride: of the first convolution of the encoder at this level, and of the transposed convolution that leads back out
    of it; ones at level 0. kernel: of every convolution here. encoder_widths: output channels of each encoder
    convolution (of each block, in a residual encoder). inner_widths: channels between the two convolutions of each
    residual block; empty in a plain encoder. upsampled_width: channels that arrive from the level below; None at the
    bottleneck. decoder_widths: output channels of each decoder convolution; empty at the bottleneck.
    """

    stride: Ints
    kernel: Ints
    encoder_widths: Ints
    inner_widths: Ints = ()
    upsampled_width: int | None = None
    decoder_widths: Ints = ()


@dataclass(frozen=True)
class NetworkSpec:
    """Everything needed to build a network: a pruned network is another spec with smaller widths.

    architecture: a name in autoseg.networks.NETWORKS. dimensions: 2 or 3. in_channels: image channels, and one per
    class of the previous stage in a cascade. out_channels: logits. levels: finest first, the bottleneck last.
    """

    architecture: str
    dimensions: int
    in_channels: int
    out_channels: int
    levels: tuple[LevelSpec, ...]

    @property
    def divisor(self) -> Ints:
        """Input edges must be multiples of this, per axis."""
        product = [1] * self.dimensions
        for level in self.levels:
            product = [p * s for p, s in zip(product, level.stride, strict=True)]
        return tuple(product)


@dataclass(frozen=True)
class IntensityStatistics:
    """Of one channel, over the foreground voxels of all training cases, in the image's own unit."""

    mean: float
    median: float
    std: float
    min: float
    max: float
    percentile_00_5: float
    percentile_99_5: float


@dataclass(frozen=True)
class ChannelPlan:
    """How one channel is normalised.

    scheme: a name in autoseg.preprocessing.normalization.NORMALIZATIONS (ct, clip, zscore, none, rescale).
    masked: statistics over non-zero voxels only, and zero outside them. clip: the range of the scheme clip.
    """

    name: str
    scheme: str
    statistics: IntensityStatistics
    masked: bool = False
    clip: tuple[float, float] | None = None


@dataclass(frozen=True)
class AirRule:
    """Which windows prediction leaves out: those without tissue in them or within the margin around them.

    channel: the number of the channel that tells. tissue_above: its value, in its own unit, that air never exceeds.
    """

    channel: int
    tissue_above: float
    margin_mm: float


@dataclass(frozen=True)
class TrainingPlan:
    """The defaults that the planner found for training a stage; options of a run override them.

    optimizer: a name in autoseg.training.optimizers.OPTIMIZERS. schedule: in SCHEDULES; first_cycle_epochs and
    cycle_growth: of its warm restarts. epochs and iterations_per_epoch hold where no budget is set; budget_seconds
    is of this training, budget_share what part of a budget per fold and stage it gets: below 1 where several
    trainings share a stage, and for the locator. augmentation: a strength, 1 is the peer's. rotation_degrees: the
    largest angle, None for what suits the patch; scales: the smallest and the largest factor; shift_voxels: by how
    much a patch is moved at most. foreground_fraction: of the patches of a batch, how many are centred on a
    foreground voxel. crops_per_case: patches in a row that are cut from one case. weight_average: decay per
    iteration of the averaged weights that become the model; 0 for none. warmup_iterations: of linear growth of the
    rate. whole_validation_epochs: after each so many epochs the validation cases are predicted whole; 0 for never.
    cached: keep the prepared cases in memory.
    """

    optimizer: str = "sgd"
    learning_rate: float = 1e-2
    schedule: str = "polynomial"
    first_cycle_epochs: int = 5
    cycle_growth: int = 3
    loss: str = "dice+ce"
    epochs: int = 1000
    iterations_per_epoch: int = 250
    budget_seconds: float | None = None
    budget_share: float = 1.0
    augmentation: float = 1.0
    rotation_degrees: float | None = None
    scales: tuple[float, float] = (0.7, 1.4)
    shift_voxels: int = 0
    foreground_fraction: float = 0.5
    crops_per_case: int = 1
    weight_average: float = 0.0
    warmup_iterations: int = 0
    whole_validation_epochs: int = 0
    cached: bool = False


@dataclass(frozen=True)
class RegionPlan:
    """An organ that is segmented within a region of its own.

    organs: its class, or the left and the right one of a pair that share a network: the right one is mirrored along
    the plans' left_right_axis. size_mm: edges of a large one's box. margin_mm: around the box, as the network was
    planned for; what training measured takes its place, unless margin_given says that the user or a recipe gave it.
    trunk: of the network that it shares with all stages of the same trunk; None for a network of its own.
    """

    organs: tuple[str, ...]
    size_mm: tuple[float, ...]
    margin_mm: tuple[float, ...]
    margin_given: bool = False
    trunk: str | None = None

    def is_mirrored(self, organ: str) -> bool:
        """Whether the network sees this organ mirrored."""
        return organ != self.organs[0]


@dataclass(frozen=True)
class StagePlan:
    """One resolution: the grid, the patch, the batch and the network.

    spacing_mm: the target per axis. median_shape: of the training cases on that grid (may be fractional). patch_size
    and batch_size: of training and of the sliding window. batch_dice: Dice over the batch as one volume, instead of per
    sample. previous_stage: the stage whose labels arrive as additional channels, in a cascade. flips: all or none, of
    the mirror axes, over which prediction averages unless it is told otherwise. region: the organ that it segments, in
    a configuration of two stages; None for a stage that sees whole cases.
    """

    name: str
    spacing_mm: tuple[float, ...]
    median_shape: tuple[float, ...]
    patch_size: Ints
    batch_size: int
    network: NetworkSpec
    batch_dice: bool
    previous_stage: str | None = None
    training: TrainingPlan = TrainingPlan()
    flips: str = "all"
    region: RegionPlan | None = None

    @property
    def is_2d(self) -> bool:
        """Whether the network sees single slices along axis 0."""
        return self.network.dimensions == 2

    @property
    def grid(self) -> str:
        """The name of the prepared cases that this stage reads: stages that share a grid share them.

        A cascade's stages at full resolution read what 3d_fullres reads.
        """
        return "3d_fullres" if self.name == "3d_cascade_fullres" else self.name

    @property
    def network_name(self) -> str:
        """What is trained: the stage, or the trunk that it shares with others; names the folder of the networks."""
        return self.region.trunk if self.region is not None and self.region.trunk else self.name

    @property
    def shared_as(self) -> str | None:
        """What it is called among the stages that have one network; None where it has its own."""
        return self.name if self.network_name != self.name else None


@dataclass(frozen=True)
class Decision:
    """Why one thing is as it is.

    what: the thing decided ("3d_fullres.patch_size"). value: what was chosen. rule: the sentence that decided. numbers:
    what the rule was fed. rejected: the alternative, and why not.
    """

    what: str
    value: Any
    rule: str
    numbers: dict[str, Any] = field(default_factory=dict)
    rejected: str = ""


@dataclass(frozen=True)
class Target:
    """What a plan is made for.

    device: cpu or cuda. memory_bytes: of training, at most. budget_seconds: per fold and stage; None for no limit.
    """

    device: str
    memory_bytes: int
    budget_seconds: float | None = None


@dataclass(frozen=True)
class Plans:
    """All that was decided about a dataset.

    name: of these plans, part of the model folder's name. planner: the name in planners.PLANNERS. recipe: the name in
    planners.recipes.RECIPES, None without one. fingerprint: checksum of the fingerprint that they were made from.
    transpose: see the module. left_right_pairs: (left, right)
    class names. mirror_axes: plan axes along which patches may be flipped; where left_right_axis is among them,
    flipping it exchanges the labels of each pair. left_right_axis: the plan axis that runs left to right where pairs
    exist. air: None where prediction runs every window. stages: by name. configurations: name to its ordered stages;
    the last one's output is the answer.
    """

    name: str
    planner: str
    dataset_name: str
    fingerprint: str
    target: Target
    transpose: Ints
    channels: tuple[ChannelPlan, ...]
    stages: dict[str, StagePlan]
    configurations: dict[str, tuple[str, ...]]
    mirror_axes: Ints = (0, 1, 2)
    left_right_axis: int | None = None
    left_right_pairs: tuple[tuple[str, str], ...] = ()
    air: AirRule | None = None
    recipe: str | None = None
    decisions: tuple[Decision, ...] = ()
    schema: int = PLANS_SCHEMA

    def of_organ(self, stage: StagePlan) -> Plans:
        """The plans as a stage with a region sees them: it knows no sides, and nothing of left and right is flipped.

        Organs that share a network share this too: nothing is flipped from left to right where one of them has a side.
        """
        organs = {organ for other in self.sharing(stage) if other.region for organ in other.region.organs}
        sided = {name for pair in self.left_right_pairs for name in pair}
        has_side = self.left_right_axis is not None and bool(sided & organs)
        axes = tuple(axis for axis in self.mirror_axes if not (has_side and axis == self.left_right_axis))
        return replace(self, mirror_axes=axes, left_right_pairs=())

    def sharing(self, stage: StagePlan) -> tuple[StagePlan, ...]:
        """The stages that have one network with this one, itself among them, in the order of the plans."""
        if stage.region is None or stage.region.trunk is None:
            return (stage,)
        return tuple(other for other in self.stages.values() if other.network_name == stage.network_name)

    def largest_sharing(self, stage: StagePlan) -> StagePlan:
        """Of the stages that have one network with this one, that with the largest patch."""
        return max(self.sharing(stage), key=lambda one: math.prod(one.patch_size))

    def in_volume_order(self, lengths: tuple[float, ...]) -> tuple[float, float, float]:
        """Values of the three plan axes, as those of the volume's axes (z, y, x)."""
        z, y, x = (lengths[self.transpose.index(axis)] for axis in range(3))
        return z, y, x

    def configuration_stages(self, configuration: str) -> tuple[StagePlan, ...]:
        """The ordered stages of a configuration; PlanningError lists what exists and says how to get a cascade."""
        if configuration not in self.configurations:
            hint = ""
            if configuration == "3d_cascade":
                hint = " The planner saw no need of a cascade; autoseg_plan_and_preprocess --cascade always forces one."
            elif configuration == TWO_STAGE:
                hint = " autoseg_plan_and_preprocess --explain tells why not, --two-stage always forces it."
            known = ", ".join(self.configurations)
            raise PlanningError(
                f"The plans {self.name!r} have no configuration {configuration!r}.", f"They have {known}.{hint}"
            )
        return tuple(self.stages[name] for name in self.configurations[configuration])


def read_plans(path: Path) -> Plans:
    """Read a plans.json; FormatError names the key that is unknown, missing or wrong."""
    return read_artefact(Plans, path, remedy="Run autoseg_plan_and_preprocess again.")


def write_plans(path: Path, plans: Plans) -> None:
    """Write a plans.json whole or not at all."""
    write_json(path, plans)
