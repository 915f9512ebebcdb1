"""What a network should have answered, at any resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Target:
    """The ground truth of a batch.

    labels: (B, ...) integers, label values as in the dataset's files. contoured: (B, classes) booleans, in the order of
    Labels.names; False where nobody looked for that class in that sample.
    """

    labels: Tensor
    contoured: Tensor

    def to(self, device: str | torch.device) -> Target:
        """The same on another device."""
        return Target(self.labels.to(device, non_blocking=True), self.contoured.to(device, non_blocking=True))

    def pin_memory(self) -> Target:
        """The same in memory that a GPU can copy from while it computes."""
        return Target(self.labels.pin_memory(), self.contoured.pin_memory())

    def at(self, shape: Sequence[int]) -> Target:
        """The target on a grid of this spatial shape over the same extent, by the nearest voxel (see nearest)."""
        labels = self.labels
        for axis, length in enumerate(shape, start=1):
            labels = nearest(labels, axis, length)
        return self if labels is self.labels else replace(self, labels=labels)


def nearest(labels: Tensor, axis: int, length: int) -> Tensor:
    """One axis of n voxels resampled to `length`: voxel i of the result is voxel floor((i + 0.5) * n / length).

    Halving therefore takes voxels 1, 3, 5, ... A view where the step is whole.
    """
    edge = labels.shape[axis]
    if edge == length:
        return labels
    if edge % length == 0:
        step = edge // length
        start = step // 2
        return labels.narrow(axis, start, edge - start)[(slice(None),) * axis + (slice(None, None, step),)]
    centres = (torch.arange(length, device=labels.device) * 2 + 1) * edge // (2 * length)
    return labels.index_select(axis, centres)
