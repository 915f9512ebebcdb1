"""What an exported model needs to be told: every number between a volume and its labels, as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autoseg.air import BLOCK_MM
from autoseg.errors import OptionError
from autoseg.geometry import Triple
from autoseg.inference.chain import SURE_LOGIT
from autoseg.inference.model_files import ModelFiles
from autoseg.inference.options import PredictionOptions
from autoseg.inference.predictor import Flipping
from autoseg.inference.windows import SIGMA
from autoseg.labels import Labels, organ_labels
from autoseg.locating.boxes import OVERSIZE, SPECK
from autoseg.locating.experience import FEWEST_CASES, LEAST_SPREAD_MM, SPREADS, Offset, joined, read_experience
from autoseg.locating.regions import FEWEST_VOTERS, ROUNDING
from autoseg.plans import AirRule, ChannelPlan, Ints, StagePlan
from autoseg.postprocessing import Rule
from autoseg.preprocessing.normalization import SMALLEST_SCALE
from autoseg.preprocessing.region import is_mirrored
from autoseg.preprocessing.resampling import ANISOTROPY_THRESHOLD

DEPLOYMENT_SCHEMA = 1
SCALES = {"ct": "fixed", "clip": "fixed", "zscore": "deviation", "rescale": "range", "none": "none"}


@dataclass(frozen=True)
class DeployedChannel:
    """How a channel is normalised: clipped, then (value - subtract) / divide.

    clip: the range, None for no clipping. scale: fixed, by the numbers here; deviation, by the case's own mean and
    standard deviation; range, by its own minimum and extent; none. masked: statistics over non-zero voxels, zero
    outside them. smallest_scale: what is divided by at least.
    """

    name: str
    scale: str
    clip: tuple[float, float] | None
    subtract: float
    divide: float
    masked: bool
    smallest_scale: float = SMALLEST_SCALE


@dataclass(frozen=True)
class DeployedStage:
    """One resolution. Per-axis values are in plan order; those of slices have two entries.

    networks: files, whose logits are averaged. overlap: of neighbouring windows, at least. weight_sigma: of the
    Gaussian that weighs a window, as a fraction of the patch. flips: the axes of each flip over which logits are
    averaged; one along left_right_axis exchanges classes by left_right_partners, in what is fed back and in the logits.
    previous_stage: whose labels arrive as further channels, one per class.
    """

    name: str
    networks: tuple[str, ...]
    spacing_mm: tuple[float, ...]
    patch_size: Ints
    overlap: float
    weight_sigma: float
    flips: tuple[Ints, ...]
    left_right_axis: int | None
    left_right_partners: Ints
    previous_stage: str | None


@dataclass(frozen=True)
class DeployedAir:
    """Windows with nothing above a value within a margin of them are not run: they say the logits given here."""

    channel: int
    tissue_above: float
    margin_mm: float
    block_mm: float
    logits: tuple[float, ...]


@dataclass(frozen=True)
class DeployedOrgan:
    """An organ that is segmented in a region of its own. Lengths are along the volume's axes (z, y, x).

    stage: whose networks do so. mirrored_along: the axis, in plan order, along which they see it mirrored, or None.
    patch_mm: what one patch of them sees; the region has at least that. planned_mm: edges of a large one's box, as
    planned; large_mm: as measured. margin_low_mm, margin_high_mm: around the located box. offsets: from the middles of
    the other organs' boxes to its own, in the world's (x, y, z) of RAS.
    """

    name: str
    stage: str
    mirrored_along: int | None
    patch_mm: Triple
    planned_mm: Triple
    large_mm: Triple
    margin_low_mm: Triple
    margin_high_mm: Triple
    offsets: dict[str, Offset]


@dataclass(frozen=True)
class DeployedSearch:
    """How organs are looked for.

    speck: components with less than this share of the largest one's voxels do not count. oversize: a located box with
    an edge over so many times the planned one is not believed. spreads: standard deviations around an expected place,
    of at least least_spread_mm each. fewest_cases: an offset over fewer counts only where there is no other.
    fewest_voters: organs that must tell where another is, for its located box to be doubted.
    rounding_voxels: by which the largest region is rounded outwards.
    """

    speck: float = SPECK
    oversize: float = OVERSIZE
    spreads: float = SPREADS
    least_spread_mm: float = LEAST_SPREAD_MM
    fewest_cases: int = FEWEST_CASES
    fewest_voters: int = FEWEST_VOTERS
    rounding_voxels: int = ROUNDING


@dataclass(frozen=True)
class Deployment:
    """model.json of an exported folder.

    format: onnx or openvino. precision: of the networks. dataset, configuration, folds: where the model is from.
    inputs, logits: names of the networks' input and output. transpose: transpose[a] is the volume's axis (0 z, 1 y, 2
    x) that becomes the networks' axis a. classes: label values by name; outputs: logits, one per class and, unless
    region_values says in which order overlapping regions are painted, one before them for the background. Images are
    resampled by cubic splines, logits and labels linearly; where voxels are anisotropy_threshold times as long along
    one axis as along another, that axis takes the nearest slice. postprocessing: rules in order. organs: where the
    first stage locates organs, and the others segment them; else empty, and search is None.
    """

    format: str
    precision: str
    dataset: str
    configuration: str
    folds: tuple[str, ...]
    channels: tuple[DeployedChannel, ...]
    transpose: Ints
    stages: tuple[DeployedStage, ...]
    classes: dict[str, Ints]
    outputs: int
    region_values: Ints
    air: DeployedAir | None
    postprocessing: tuple[Rule, ...]
    organs: tuple[DeployedOrgan, ...] = ()
    search: DeployedSearch | None = None
    anisotropy_threshold: float = ANISOTROPY_THRESHOLD
    inputs: str = "image"
    logits: str = "logits"
    schema: int = DEPLOYMENT_SCHEMA


def describe(
    files: ModelFiles, networks: dict[str, tuple[str, ...]], options: PredictionOptions, *, kind: str, precision: str
) -> Deployment:
    """The description of a model folder. networks: the exported files of each stage, by its name.

    Raises OptionError where the model needs more than a description can say.
    """
    check_describable(files)
    plans, labels = files.plans, files.labels
    return Deployment(
        format=kind,
        precision=precision,
        dataset=plans.dataset_name,
        configuration=files.configuration,
        folds=files.folds,
        channels=tuple(_channel(plan) for plan in plans.channels),
        transpose=plans.transpose,
        stages=tuple(_stage(files, stage, networks[stage.name], options) for stage in files.stages),
        classes=labels.classes,
        outputs=labels.output_count,
        region_values=labels.region_values,
        air=None if plans.air is None else _air(plans.air, labels),
        postprocessing=files.rules,
        organs=tuple(_organs(files)),
        search=DeployedSearch() if files.experience else None,
    )


def check_describable(files: ModelFiles) -> None:
    """Raise OptionError for a normalisation that is somebody's own."""
    unknown = [plan.scheme for plan in files.plans.channels if plan.scheme not in SCALES]
    if unknown:
        raise OptionError(f"The normalisation {unknown[0]} cannot be described.", f"Known: {', '.join(SCALES)}.")


def _channel(plan: ChannelPlan) -> DeployedChannel:
    facts, clip = plan.statistics, None
    subtract, divide = 0.0, 1.0
    if plan.scheme == "ct":
        clip = (facts.percentile_00_5, facts.percentile_99_5)
        subtract, divide = facts.mean, facts.std
    elif plan.scheme == "clip" and plan.clip is not None:
        clip = plan.clip
        subtract, divide = (clip[0] + clip[1]) / 2, (clip[1] - clip[0]) / 2
    return DeployedChannel(plan.name, SCALES[plan.scheme], clip, subtract, divide, plan.masked)


def _stage(files: ModelFiles, stage: StagePlan, networks: tuple[str, ...], options: PredictionOptions) -> DeployedStage:
    wanted = stage.flips if options.flips is None else options.flips
    plans, labels = files.plans, files.labels
    if stage.region is not None:
        plans, labels = plans.of_organ(stage), organ_labels(labels)
    flipping = Flipping.of(plans, labels, wanted, is_2d=stage.is_2d)
    return DeployedStage(
        stage.name,
        networks,
        stage.spacing_mm,
        stage.patch_size,
        options.overlap,
        SIGMA,
        flipping.flips,
        flipping.left_right_axis,
        flipping.partners,
        stage.previous_stage,
    )


def _organs(files: ModelFiles) -> Iterator[DeployedOrgan]:
    """In the order in which they are looked for."""
    if not files.experience:
        return
    plans = files.plans
    with_region = [(stage, stage.region) for stage in files.stages if stage.region is not None]
    stages = {organ: (stage, region) for stage, region in with_region for organ in region.organs}
    for name, known in joined([read_experience(path) for path in files.experience]).organs.items():
        stage, region = stages[name]
        lengths = tuple(edge * mm for edge, mm in zip(stage.patch_size, stage.spacing_mm, strict=True))
        yield DeployedOrgan(
            name=name,
            stage=stage.name,
            mirrored_along=plans.left_right_axis if is_mirrored(stage, name) else None,
            patch_mm=plans.in_volume_order(lengths),
            planned_mm=plans.in_volume_order(region.size_mm),
            large_mm=known.size_mm,
            margin_low_mm=known.margin_low_mm,
            margin_high_mm=known.margin_high_mm,
            offsets=known.offsets,
        )


def _air(rule: AirRule, labels: Labels) -> DeployedAir:
    background = () if labels.has_regions else (SURE_LOGIT,)
    logits = (*background, *(-SURE_LOGIT,) * len(labels.classes))
    return DeployedAir(rule.channel, rule.tissue_above, rule.margin_mm, BLOCK_MM, logits)
