"""Dice on patches of the validation cases: quick, rough, and the same patches at every epoch."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import nn

from autoseg.data.source import Batch, PatchSource
from autoseg.training.loop import Computation


class PatchScore:
    """Called with a network, gives the Dice of each class over a fixed number of batches.

    Dice is 2 TP / (2 TP + FP + FN) over all patches together; NaN where a class is neither there nor found. Voxels with
    the ignore label, and classes that were not contoured in a case, do not count.
    """

    def __init__(self, source: PatchSource, batches: int, computation: Computation) -> None:
        self.source, self.count, self.computation = source, batches, computation

    @cached_property
    def _batches(self) -> list[Batch]:
        return [self.source.batch(index) for index in range(self.count)]

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Dice by class name."""
        was_training = network.training
        network.eval()
        names = self.source.labels.names
        counts = torch.zeros(2, len(names), dtype=torch.float64)
        with torch.inference_mode(), self.computation.autocast():
            for batch in self._batches:
                counts += self._count(network(self.computation.move(batch.image)).float().cpu(), batch)
        network.train(was_training)
        overlap, total = counts
        return {name: float(2 * overlap[i] / total[i]) if total[i] else float("nan") for i, name in enumerate(names)}

    def _count(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """(2, classes): the overlap, and the sum of both sizes."""
        labels, target = self.source.labels, batch.target
        best = None if labels.has_regions else logits.argmax(1)
        valid = torch.ones_like(target.labels, dtype=torch.bool)
        if labels.ignore is not None:
            valid = target.labels != labels.ignore
        counts = torch.zeros(2, len(labels.names), dtype=torch.float64)
        for i, values in enumerate(labels.classes.values()):
            found = logits[:, i] > 0 if best is None else best == i + 1
            there = torch.isin(target.labels, torch.tensor(values))
            counted = valid & target.contoured[:, i].reshape(-1, *[1] * (valid.ndim - 1))
            counts[0, i] = (found & there & counted).sum()
            counts[1, i] = (found & counted).sum() + (there & counted).sum()
        return counts
