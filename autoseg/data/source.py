"""Batches as a pure function of the seed and their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from autoseg.data.augmentation import IntensityChanges
from autoseg.data.cascade import MaskChanges, class_masks
from autoseg.data.mirroring import left_right_exchange
from autoseg.data.regions import CaseRegions, RegionSampler
from autoseg.data.sampling import PatchSampler, Sampler, SamplingOptions
from autoseg.data.spatial import USUAL_LIMITS, SpatialChange, SpatialLimits, SpatialRanges, cut_image, cut_labels
from autoseg.errors import OptionError
from autoseg.labels import Labels
from autoseg.plans import Plans, StagePlan

if TYPE_CHECKING:
    from autoseg.data.cache import CachedCases
    from autoseg.losses.target import Target
    from autoseg.preprocessing.store import PredictedLabels, PreparedStore

SAMPLE_STREAM = 0


@dataclass(frozen=True, eq=False)
class Batch:
    """image: (B, C, *patch) float32.

    In a cascade the previous stage's classes follow the image's channels; for a network that organs share, a channel
    that is filled with the number of the sample's organ.
    """

    image: torch.Tensor
    target: Target

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Everything that it is made of."""
        return self.image, self.target.labels, self.target.contoured

    def pin_memory(self) -> Batch:
        """The same in memory that a GPU can copy from while it computes."""
        return Batch(self.image.pin_memory(), self.target.pin_memory())

    def to(self, device: str | torch.device) -> Batch:
        """The same on another device; from pinned memory the copy may still be under way."""
        return Batch(self.image.to(device, non_blocking=True), self.target.to(device))


@dataclass(frozen=True, eq=False)
class Sample:
    """One patch: image (C, Z, Y, X) float32, labels (Z, Y, X) int16, contoured (classes,) bool."""

    image: np.ndarray
    labels: np.ndarray
    contoured: np.ndarray


class PatchSource:
    """Cuts and changes the patches of a stage.

    store: the prepared cases of the stage's grid. case_ids: the cases to draw from. previous: the previous stage's
    labels on this grid; required in a cascade's later stages. augmentation: strength; 0 gives plain crops.
    limits: of the changes of geometry. foreground_fraction: share of the samples that are centred on some class.
    crops_per_case: samples in a row that come from one case. regions: by case, where it is looked at; None for
    everywhere. Those of a network that organs share may have patches of their own: a batch is of one organ.
    """

    def __init__(
        self,
        store: PreparedStore | CachedCases,
        case_ids: Sequence[str],
        plans: Plans,
        stage: StagePlan,
        labels: Labels,
        *,
        previous: PredictedLabels | None = None,
        seed: int = 0,
        augmentation: float = 1.0,
        limits: SpatialLimits = USUAL_LIMITS,
        foreground_fraction: float = 0.5,
        crops_per_case: int = 1,
        regions: Mapping[str, CaseRegions] | None = None,
    ) -> None:
        if not case_ids:
            raise OptionError("There are no cases to make batches of.", "Check the folds of the dataset.")
        self.store, self.labels, self.previous, self.seed = store, labels, previous, seed
        self.batch_size, self.is_2d = stage.batch_size, stage.is_2d
        patch_size = (1, *stage.patch_size) if stage.is_2d else stage.patch_size
        options = SamplingOptions(
            (patch_size[0], patch_size[1], patch_size[2]),
            foreground_fraction,
            labels.ignore is not None,
            crops_per_case,
        )
        patches = PatchSampler(store, case_ids, options, seed=seed)
        self._regions = regions or {}
        self.sampler: Sampler = patches
        if regions is not None:
            self.sampler = RegionSampler(patches, regions, batch_size=stage.batch_size)
        self.outside = 0 if labels.ignore is None else labels.ignore
        self.augmentation = augmentation
        self._prepare_changes(plans, stage, limits)
        self._contoured: dict[str, np.ndarray] = {}

    def _prepare_changes(self, plans: Plans, stage: StagePlan, limits: SpatialLimits) -> None:
        axes = plans.mirror_axes
        self.left_right_axis = plans.left_right_axis if plans.left_right_pairs else None
        self.exchange = left_right_exchange(self.labels, plans.left_right_pairs)
        if self.exchange is None:
            axes = tuple(axis for axis in axes if axis != self.left_right_axis)
        region_mm = None if stage.region is None else stage.spacing_mm
        own = {region.patch_size for region in self._regions.values() if region.patch_size is not None}
        usual = (1, *stage.patch_size) if stage.is_2d else stage.patch_size
        ranges = {patch: SpatialRanges.of_patch(patch, axes, limits, region_mm=region_mm) for patch in {usual, *own}}
        self.spatial = ranges[usual]
        self._spatial_of = {name: ranges[one.patch_size] for name, one in self._regions.items() if one.patch_size}
        self.intensity = IntensityChanges(self.augmentation, in_plane=self.spatial.in_plane)
        self.mask_changes = MaskChanges(self.augmentation, exclusive=not self.labels.has_regions)
        self.masked_channels = [number for number, channel in enumerate(plans.channels) if channel.masked]

    def batch(self, index: int) -> Batch:
        """Batch number `index`, the same whenever and wherever it is made."""
        return join(
            [self.sample(index * self.batch_size + position) for position in range(self.batch_size)], self.is_2d
        )

    def sample(self, number: int) -> Sample:
        """Sample number `number`; batch i holds the samples from i * batch_size on."""
        rng = np.random.default_rng([self.seed, SAMPLE_STREAM, number])
        case_id = self.sampler.case_id(number)
        box = self.sampler.box(number, rng)
        change = self._spatial_of.get(case_id, self.spatial).draw(rng, self.augmentation)
        box = change.moved(box, self.store.labels(case_id).shape) if any(change.shift) else box
        image = cut_image(self.store.image(case_id), box, change)
        labels = cut_labels(self.store.labels(case_id), box, change, outside=self.outside)
        image = self._change_intensity(image, rng)
        contoured = self._contoured_classes(case_id)
        previous = None
        if self.previous is not None:
            previous = cut_labels(self.previous.read(case_id), box, change, outside=0)
        if self._swaps_sides(change):
            assert self.exchange is not None
            labels, contoured = self.exchange.labels(labels), contoured[self.exchange.classes]
            previous = None if previous is None else self.exchange.labels(previous)
        if previous is not None:
            masks = self.mask_changes.apply(class_masks(previous, self.labels), rng)
            image = np.concatenate([image, masks.astype(np.float32)])
        organ = None if case_id not in self._regions else self._regions[case_id].organ
        if organ is not None:
            image = np.concatenate([image, np.full((1, *image.shape[1:]), organ, dtype=np.float32)])
        return Sample(image, labels, contoured)

    def _swaps_sides(self, change: SpatialChange) -> bool:
        return self.left_right_axis is not None and self.left_right_axis in change.flips

    def _change_intensity(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Change the intensities; what was outside the body in a masked channel stays zero."""
        outside = {channel: image[channel] == 0 for channel in self.masked_channels}
        image = self.intensity.apply(image, rng)
        for channel, mask in outside.items():
            image[channel][mask] = 0
        return image

    def _contoured_classes(self, case_id: str) -> np.ndarray:
        if case_id not in self._contoured:
            missing = set(self.store.record(case_id).not_contoured)
            self._contoured[case_id] = np.array([name not in missing for name in self.labels.names])
        return self._contoured[case_id]


def join(samples: Sequence[Sample], is_2d: bool) -> Batch:
    """Stack samples into a batch; a 2D stage's patches lose their axis 0."""
    from autoseg.losses.target import Target

    image = torch.from_numpy(np.stack([sample.image for sample in samples]))
    labels = torch.from_numpy(np.stack([sample.labels for sample in samples]).astype(np.int64))
    contoured = torch.from_numpy(np.stack([sample.contoured for sample in samples]))
    return Batch(image[:, :, 0], Target(labels[:, 0], contoured)) if is_2d else Batch(image, Target(labels, contoured))
