"""How much memory a prediction takes, told before it begins: a closed form over grids, patches and networks.

A volume passes through phases, of which the largest counts: it is read and prepared; windows run over the prepared
image, while finished planes become labels; labels are cleaned and written. Each term below is an array that the code
holds; what libraries take besides was measured and stands as constants at the top.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import psutil

from autoseg.dataset import Case
from autoseg.errors import ResourceError
from autoseg.inference.batches import FLOAT, pass_bytes
from autoseg.inference.chain import Chain, Wanted
from autoseg.inference.predictor import StagePredictor
from autoseg.inference.two_stage import TwoStageChain
from autoseg.inference.windows import WindowPath
from autoseg.io import Volume, compact_dtype, read_geometry
from autoseg.plans import Plans
from autoseg.preprocessing.case import target_spacing_mm
from autoseg.preprocessing.interpolation import BLOCK_ROWS, SPLINE_PADDING
from autoseg.preprocessing.resampling import resampled_shape
from autoseg.preprocessing.restore import SLAB_VOXELS
from autoseg.runtime import available_memory_bytes

LABEL = 2
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
    spacing_mm: tuple[float, ...]
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


@dataclass(frozen=True)
class Limit:
    """What a process may hold.

    limit_bytes: None for what is free. base_bytes: what it holds before the volume is read. waiting: volumes that are
    read before their turn, while others are predicted and written.
    """

    limit_bytes: int | None
    base_bytes: int
    waiting: int = 0

    @classmethod
    def now(cls, limit_bytes: int | None, *, held_bytes: int = 0) -> Limit:
        """For a prediction that begins now. held_bytes: of the volume, where the process holds it already."""
        resident = psutil.Process().memory_info().rss
        return cls(limit_bytes, max(0, resident - held_bytes))

    def wanted(self, chains: Sequence[Chain], source: Source, wanted: Wanted, *, cleans: bool) -> Wanted:
        """The same, with sums in a file where they do not fit; ResourceError where that does not fit either.

        cleans: whether postprocessing follows.
        """
        whole, in_file = (
            self.peak_bytes(chains, source, replace(wanted, in_file=choice), cleans=cleans) for choice in (False, True)
        )
        limit = self.base_bytes + available_memory_bytes() if self.limit_bytes is None else self.limit_bytes
        if whole <= limit:
            return wanted
        if in_file > limit and self.limit_bytes is not None:
            raise self._refusal(chains, source, replace(wanted, in_file=True), in_file, cleans)
        return replace(wanted, in_file=True)

    def peak_bytes(self, chains: Sequence[Chain], source: Source, wanted: Wanted, *, cleans: bool) -> int:
        """The estimate for the whole process."""
        flight = self.waiting * source.bytes + (_written_bytes(chains, source, wanted) if self.waiting else 0)
        return self.base_bytes + LIBRARIES + flight + case_bytes(chains, source, wanted, cleans=cleans)

    def _refusal(
        self, chains: Sequence[Chain], source: Source, wanted: Wanted, peak: int, cleans: bool
    ) -> ResourceError:
        assert self.limit_bytes is not None
        shape, limit = " x ".join(map(str, source.shape)), self.limit_bytes / 2**30
        fact = f"Predicting {shape} voxels takes {_gigabytes(peak)}, more than --memory {limit:.2f}G."
        changes = {
            "--save-probabilities left out": (chains, replace(wanted, probabilities=len(chains) > 1), cleans),
            "--no-postprocessing": (chains, wanted, False),
            "one configuration alone": (chains[:1], replace(wanted, labels=True, probabilities=False), cleans),
        }
        fits = []
        for change, (some, less, cleaned) in changes.items():
            needed = self.peak_bytes(some, source, less, cleans=cleaned)
            if needed <= self.limit_bytes:
                fits.append(f"{change} ({_gigabytes(needed)})")
        remedy = f"Give at least --memory {_gigabytes(peak)}" + (f"; or: {', '.join(fits)}" if fits else "")
        return ResourceError(fact, f"{remedy}.")


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
    """The located labels, the probabilities of all regions, and the network and arrays of the largest."""
    total, most = LABEL * source.voxels, 0
    for name, predictor in chain.organs.items():
        stage, known = predictor.stage, chain.experience.organs[name]
        edges = np.add(known.size_mm, known.margin_low_mm) + known.margin_high_mm
        on_source = _voxels(edges, source.spacing_mm, source.shape)
        on_grid = max(math.prod(stage.patch_size), _voxels(edges, chain.plans.in_volume_order(stage.spacing_mm)))
        most = max(most, FLOAT * REGION_ARRAYS * max(on_source, on_grid) + network_bytes(predictor))
        total += FLOAT * on_source
    return total + most


def _voxels(edges_mm: np.ndarray, spacing_mm: Sequence[float], shape: tuple[int, ...] | None = None) -> int:
    """Voxels of a box of these edges, at most those of the shape."""
    counts = [math.ceil(mm / step) for mm, step in zip(edges_mm, spacing_mm, strict=True)]
    return math.prod(counts if shape is None else map(min, counts, shape))


def _written_bytes(chains: Sequence[Chain], source: Source, wanted: Wanted) -> int:
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
    path = WindowPath.over(shape, windows, predictor.order(shape))
    planes = FLOAT * path.depth(BLOCK_ROWS + 2) * math.prod(axis.length for axis in path.axes[1:])
    classes = 1 if wanted.in_file else stage.network.out_channels
    network = network_bytes(predictor) if predictor.device == "cpu" else 0
    return copied + classes * planes + max(network, slab)


def network_bytes(predictor: StagePredictor) -> int:
    """What a batch takes, see pass_bytes."""
    return pass_bytes(
        predictor.stage,
        predictor.windows.batch_size,
        precision=predictor.choice.precision,
        several=len(predictor.flips) * len(predictor.engines) > 1,
    )


def _gigabytes(count: int) -> str:
    """Rounded up, so that what is told suffices: 3.4G."""
    return f"{np.ceil(count / 2**30 * 10) / 10:.1f}G"


def source_of(case: Case, channel_count: int) -> Source:
    """A case that is to be read, from its headers alone."""
    geometry = read_geometry(case.images[0])
    return Source(geometry.shape, geometry.spacing_mm, channel_count * compact_dtype(case.images).itemsize)


def limit_for_cases(
    chains: Sequence[Chain],
    sources: Mapping[str, Source],
    wanted: Wanted,
    limit: Limit,
    *,
    cleans: bool,
) -> Limit:
    """The limit with as many volumes waiting as there are and as fit; none, before sums go to a file because of them.

    sources: the cases, by id. Raises ResourceError for the first case that does not fit even alone.
    """
    alone = replace(limit, waiting=0)
    for case_id, source in sources.items():
        try:
            alone.wanted(chains, source, wanted, cleans=cleans)
        except ResourceError as error:
            raise ResourceError(f"{case_id}: {error.fact}", error.remedy) from error
    limit = replace(limit, waiting=min(limit.waiting, len(sources) - 1))
    if limit.limit_bytes is None:
        return limit

    def fit(tried: Limit, asked: Wanted) -> bool:
        peaks = (tried.peak_bytes(chains, source, asked, cleans=cleans) for source in sources.values())
        return max(peaks) <= (limit.limit_bytes or 0)

    held, filed = replace(wanted, in_file=False), replace(wanted, in_file=True)
    return limit if fit(limit, held) or (fit(limit, filed) and not fit(alone, held)) else alone
