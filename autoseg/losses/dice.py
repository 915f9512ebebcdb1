"""Overlap losses: Tversky's index in general, of which Dice is the symmetric case."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from autoseg.losses.comparison import Comparison

SMOOTH = 1e-5


@dataclass(frozen=True)
class Tversky:
    """One minus the mean Tversky index over the foreground classes (Salehi et al., 2017, arXiv:1706.05721), 0 to 1.

    With I = sum(p * t), P = sum(p), T = sum(t) over the annotated voxels of probabilities p and truth t:

        index = (I + s) / (I + alpha * (P - I) + beta * (T - I) + s),   s = SMOOTH / 2

    which at alpha = beta = 1/2 is the soft Dice (2 I + SMOOTH) / (P + T + SMOOTH). A class that is absent counts as
    well: its index is near 0 unless the network says nearly nothing of it, and then 1.

    alpha weighs what was predicted too much, beta what was missed. batch_dice: one index per class over the batch as
    one volume, instead of per sample. Classes that were not contoured are left out; where none is left, the loss is 0.
    """

    alpha: float
    beta: float
    batch_dice: bool

    def __call__(self, comparison: Comparison) -> Tensor:
        """A scalar."""
        intersection, predicted, true = overlap_sums(comparison)
        contoured = comparison.contoured
        if contoured is not None:
            intersection, predicted, true = (sums * contoured for sums in (intersection, predicted, true))
        if self.batch_dice:
            intersection, predicted, true = (sums.sum(0) for sums in (intersection, predicted, true))
            contoured = None if contoured is None else contoured.any(0)
        smooth = SMOOTH / 2
        wrong = self.alpha * (predicted - intersection) + self.beta * (true - intersection)
        missing = 1 - (intersection + smooth) / (intersection + wrong + smooth).clamp_min(1e-8)
        if contoured is None:
            return missing.mean()
        return (missing * contoured).sum() / contoured.sum().clamp_min(1)


def overlap_sums(comparison: Comparison) -> tuple[Tensor, Tensor, Tensor]:
    """Intersection, predicted and true volume in voxels per sample and class, each (B, C), over annotated voxels."""
    probabilities, truth = comparison.probabilities, comparison.truth
    if comparison.annotated is not None:
        probabilities, truth = probabilities * comparison.annotated, truth & comparison.annotated
    true = torch.count_nonzero(truth, 2).to(probabilities.dtype)
    return (probabilities * truth).sum(2), probabilities.sum(2), true


def dice(*, batch_dice: bool) -> Tversky:
    """Soft Dice: what was predicted too much and what was missed weigh the same."""
    return Tversky(0.5, 0.5, batch_dice)


def tversky(*, batch_dice: bool) -> Tversky:
    """What was missed weighs more than twice as much: .3 and .7, the paper's choice for small lesions."""
    return Tversky(0.3, 0.7, batch_dice)
