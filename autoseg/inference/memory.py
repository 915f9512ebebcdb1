"""How much memory a prediction takes, told before it begins: a closed form over grids, patches and networks.

A volume passes through phases, of which the largest counts: it is read and prepared; windows run over the prepared
image, while finished planes become labels; labels are cleaned and written. Each term below is an array that the code
holds; what libraries take besides was measured and stands as constants at the top. Engines other than torch keep the
maps of their networks from one window to the next; those of all networks count, since all stay loaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autoseg.dataset import Case
from autoseg.geometry import Geometry, Triple
from autoseg.inference.batches import FLOAT, logits_bytes, pass_bytes
from autoseg.inference.chain import Chain, Wanted
from autoseg.inference.predictor import StagePredictor
from autoseg.inference.two_stage import TwoStageChain
from autoseg.inference.windows import WindowPath
from autoseg.io import Volume, compact_dtype, read_geometry
from autoseg.plans import Plans, StagePlan
from autoseg.preprocessing.case import target_spacing_mm
from autoseg.preprocessing.interpolation import BLOCK_ROWS, SPLINE_PADDING
from autoseg.preprocessing.resampling import resampled_shape
from autoseg.preprocessing.restore import SLAB_VOXELS

LABEL = 2
FREES_MAPS = "torch"
"""The engine that gives its memory back after each window."""
WINDOW_BY_WINDOW = ("openvino",)
"""Engines that hold the maps of one window, whatever the batch."""
LIBRARIES = 160 << 20
"""What code that is loaded late, threads and freed but kept blocks take: 60 to 140 MiB were seen."""
SLAB_ARRAYS = 4
"""Float arrays of a slab that restoring holds: planes and their source, the best logit, that of a class, masks."""
REGION_ARRAYS = 8
"""Float arrays of a region: source and normalised source, image, two logits in two places, two probabilities."""
PREPARED_ARRAYS = 3
"""Float arrays of the source slices of a slab while they are normalised and interpolated."""
MASKED = 10
"""Bytes per voxel for a mask of what is not zero, with its holes filled."""
CLEANING = 8
"""Bytes per voxel of postprocessing: the copy, masks, and the numbers of components."""


@dataclass(frozen=True)
class Source:
    """A volume that is to be predicted. shape, spacing_mm: (z, y, x). voxel_bytes: of all channels together."""

    shape: tuple[int, int, int]
    spacing_mm: Triple
    voxel_bytes: int

    @classmethod
    def of(cls, volume: Volume) -> Source:
        """Of a volume (C, Z, Y, X) in memory."""
        geometry = volume.geometry
        return cls(geometry.shape, geometry.spacing_mm, volume.array.shape[0] * volume.array.itemsize)

    @property
    def voxels(self) -> int:
        """Of one channel."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Of the volume as it is read."""
        return self.voxels * self.voxel_bytes


def source_of(case: Case, channel_count: int) -> Source:
    """A case that is to be read, from its headers alone."""
    geometry = read_geometry(case.images[0])
    return Source(geometry.shape, geometry.spacing_mm, channel_count * compact_dtype(case.images).itemsize)


def case_bytes(chains: Sequence[Chain], source: Source, wanted: Wanted, *, cleans: bool) -> int:
    """What predicting one volume takes at most, beyond what the process holds before it is read."""
    images = [_image_bytes(chain.plans, predictor, source) for chain in chains for predictor in chain.predictors]
    preparing = source.bytes + sum(images) + max(_preparing_bytes(chain.plans, source) for chain in chains)
    sums = _sums_bytes(chains, source, wanted)
    windows = max(
        _windows_bytes(chain.plans, predictor, source, wanted) for chain in chains for predictor in chain.predictors
    )
    regions = [_regions_bytes(chain, source) for chain in chains if isinstance(chain, TwoStageChain)]
    held = source.bytes if regions else 0
    running = sum(images) + held + sums + max([windows, *regions])
    after = sums + source.voxels * (CLEANING if cleans else LABEL)
    return max(preparing, running, after)


def _sums_bytes(chains: Sequence[Chain], source: Source, wanted: Wanted) -> int:
    """Labels and probabilities on the source's grid; several models hold two of the latter."""
    labels = LABEL * source.voxels
    if not wanted.probabilities:
        return labels
    return labels + min(len(chains), 2) * FLOAT * chains[0].definition.output_count * source.voxels


def _regions_bytes(chain: TwoStageChain, source: Source) -> int:
    """The located labels, the probabilities of the largest regions there may be, the network and arrays of one."""
    total, most = LABEL * source.voxels, 0
    for name, edges in chain.largest_regions(Geometry(source.shape, source.spacing_mm)).items():
        predictor = chain.organs[name]
        on_source, on_grid = math.prod(edges), _grid_voxels(chain.plans, predictor.stage, source, edges)
        most = max(most, FLOAT * REGION_ARRAYS * max(on_source, on_grid) + network_bytes(predictor))
        total += FLOAT * on_source
    return total + most


def _grid_voxels(plans: Plans, stage: StagePlan, source: Source, edges: Sequence[int]) -> int:
    """Of a region of the source on the grid of its stage, padded to a patch."""
    patch, spacing = (plans.in_volume_order(values) for values in (stage.patch_size, stage.spacing_mm))
    axes = zip(edges, source.spacing_mm, spacing, patch, strict=True)
    return math.prod(math.ceil(max(edge * mm / grid_mm, least)) for edge, mm, grid_mm, least in axes)


def written_bytes(chains: Sequence[Chain], source: Source, wanted: Wanted) -> int:
    """What the case before still takes while it is written: labels and their copy, probabilities."""
    kept = FLOAT * chains[0].definition.output_count if wanted.probabilities else 0
    return source.voxels * (2 * LABEL + kept)


def _prepared_shape(plans: Plans, predictor: StagePredictor, source: Source) -> tuple[int, ...]:
    spacing = [source.spacing_mm[axis] for axis in plans.transpose]
    shape = tuple(source.shape[axis] for axis in plans.transpose)
    return resampled_shape(shape, spacing, target_spacing_mm(spacing, predictor.stage))


def _image_bytes(plans: Plans, predictor: StagePredictor, source: Source) -> int:
    return FLOAT * len(plans.channels) * math.prod(_prepared_shape(plans, predictor, source))


def _preparing_bytes(plans: Plans, source: Source) -> int:
    """Slabs while they are interpolated: BLOCK_ROWS slices, and what lies between and around them in the source."""
    first, *others = (source.shape[axis] for axis in plans.transpose)
    slices = min(first, 3 * BLOCK_ROWS + 2 * SPLINE_PADDING)
    masked = MASKED * source.voxels if any(channel.masked for channel in plans.channels) else 0
    return masked + PREPARED_ARRAYS * FLOAT * slices * math.prod(others)


def _windows_bytes(plans: Plans, predictor: StagePredictor, source: Source, wanted: Wanted) -> int:
    """While windows run: the open planes, a padded or extended copy of the image, and the network or a slab.

    On a GPU the network lies in its own memory, and the planes too, unless it has no room for them.
    """
    shape = _prepared_shape(plans, predictor, source)
    windows, stage = predictor.windows, predictor.stage
    padded = [max(length, edge) for length, edge in zip(shape, windows.box, strict=True)]
    copied = 0
    if stage.previous_stage is not None:
        copied = math.prod(padded) * (FLOAT * (len(plans.channels) + 1) + LABEL)
    elif tuple(padded) != shape:
        copied = math.prod(padded) * FLOAT * len(plans.channels)
    slab = SLAB_ARRAYS * FLOAT * min(SLAB_VOXELS, BLOCK_ROWS * source.voxels // min(source.shape))
    sums, held = _planes_bytes(plans, predictor, source)
    network = network_bytes(predictor) if predictor.device == "cpu" else 0
    return copied + (held if wanted.in_file else sums) + max(network, slab)


def _planes_bytes(plans: Plans, predictor: StagePredictor, source: Source) -> tuple[int, int]:
    """The sums of all classes, and what is held of them in a file: one class. A single window is never in a file."""
    shape = _prepared_shape(plans, predictor, source)
    path = WindowPath.over(shape, predictor.windows, predictor.order(shape))
    one = FLOAT * path.depth(BLOCK_ROWS + 2) * math.prod(axis.length for axis in path.axes[1:])
    every = predictor.stage.network.out_channels * one
    return every, one if len(path) > 1 else every


def file_bytes(chains: Sequence[Chain], source: Source) -> int:
    """The largest file of sums; there is one at a time."""
    return max(_planes_bytes(chain.plans, predictor, source)[0] for chain in chains for predictor in chain.predictors)


def network_bytes(predictor: StagePredictor) -> int:
    """What a batch takes, see pass_bytes; without the maps that its engines keep, see kept_bytes."""
    stage, batch_size = predictor.stage, predictor.windows.batch_size
    several = len(predictor.flips) * len(predictor.engines) > 1
    if _keeps_maps(predictor):
        return logits_bytes(stage, batch_size, several=several)
    return pass_bytes(stage, batch_size, precision=predictor.choice.precision, several=several)


def kept_bytes(chains: Sequence[Chain]) -> int:
    """What engines will keep that have not run: the maps and the last logits of every fold, stage and organ."""
    total = 0
    for predictor in (one for chain in chains for one in chain.every_predictor):
        if _keeps_maps(predictor) and not predictor.has_run:
            batch_size = 1 if predictor.choice.backend in WINDOW_BY_WINDOW else predictor.windows.batch_size
            maps = pass_bytes(predictor.stage, batch_size, precision=predictor.choice.precision, several=False)
            logits = logits_bytes(predictor.stage, predictor.windows.batch_size, several=False)
            total += len(predictor.engines) * (maps + logits)
    return total


def _keeps_maps(predictor: StagePredictor) -> bool:
    return predictor.choice.backend != FREES_MAPS
