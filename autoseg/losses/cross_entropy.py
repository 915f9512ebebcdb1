"""Losses per voxel: the focal loss in general, of which cross-entropy is the case without focus."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from autoseg.losses.comparison import Comparison


@dataclass(frozen=True)
class Focal:
    """The mean of -(1 - p)^gamma * log(p) over voxels, p the probability of the truth; at least 0.

    Lin et al., 2017 (arXiv:1708.02002); gamma = 0 is cross-entropy. For regions, a binary decision per class, the mean
    runs over voxels and classes. Ignored voxels and classes that were not contoured are not counted; where nothing is
    left, the loss is 0.
    """

    gamma: float

    def __call__(self, comparison: Comparison) -> Tensor:
        """A scalar."""
        log_likelihood, counted = comparison.log_likelihood, comparison.counted
        values = -log_likelihood
        if self.gamma:
            values = values * (1 - log_likelihood.exp()).pow(self.gamma)
        if counted is None:
            return values.mean()
        counted = counted.expand_as(values)
        return torch.where(counted, values, 0).sum() / counted.sum().clamp_min(1)


def cross_entropy(*, batch_dice: bool) -> Focal:
    """Cross-entropy of the softmax, or binary cross-entropy for regions. batch_dice changes nothing here."""
    return Focal(0.0)


def focal(*, batch_dice: bool) -> Focal:
    """The focal loss at the paper's gamma of 2. batch_dice changes nothing here."""
    return Focal(2.0)
