"""A batch of logits held against its target, computed once for all terms of a loss.

Two kinds, for exclusive labels (softmax with background) and for regions (a sigmoid each), which offer the same values.
N is the number of voxels of a sample, K that of logits, C that of classes:

log_likelihood   (B, 1 or K, N) the logarithm of the probability that the network gives to the truth
counted          bool, broadcastable to log_likelihood, or None for everywhere: False at ignored voxels and where the
                 class was not contoured
probabilities    (B, C, N) of each class, background left out
truth            (B, C, N) bool, where each class is
annotated        (B, 1, N) bool, or None for everywhere: False at ignored voxels
contoured        (B, C) bool, or None for all: False for classes that nobody looked for in that sample
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from autoseg.labels import Labels
from autoseg.losses.target import Target


class Comparison(Protocol):
    """What a term of a loss may ask for; the shapes stand at the top of the module."""

    @property
    def log_likelihood(self) -> Tensor:
        """(B, 1 or K, N), at most 0."""

    @property
    def counted(self) -> Tensor | None:
        """Where log_likelihood counts; None for everywhere."""

    @property
    def probabilities(self) -> Tensor:
        """(B, C, N), from 0 to 1."""

    @property
    def truth(self) -> Tensor:
        """(B, C, N) bool."""

    @property
    def annotated(self) -> Tensor | None:
        """(B, 1, N) bool; None for everywhere."""

    @property
    def contoured(self) -> Tensor | None:
        """(B, C) bool; None for all."""


def compare(logits: Tensor, target: Target, labels: Labels) -> Comparison:
    """Hold logits (B, K, ...) against a target whose labels are (B, ...)."""
    flat = logits.flatten(2)
    if flat.dtype in (torch.float16, torch.bfloat16):
        flat = flat.float()
    kind = RegionComparison if labels.has_regions else ExclusiveComparison
    return kind(flat.contiguous(), target.labels.flatten(1), contoured=_unless_all(target.contoured), labels=labels)


class ExclusiveComparison:
    """One class per voxel, by softmax over background and classes.

    A class that was not contoured takes no part in the softmax of that sample: its logit has no gradient. A voxel with
    its label, which should not occur, is ignored.
    """

    def __init__(self, logits: Tensor, values: Tensor, *, contoured: Tensor | None, labels: Labels) -> None:
        self._logits, self.contoured = logits, contoured
        self._index, annotated = _channel_index(values, labels)
        if contoured is not None:
            with_background = F.pad(contoured, (1, 0), value=True)
            possible = with_background.gather(1, self._index)
            annotated = possible if annotated is None else annotated & possible
            self._index = self._index.where(possible, 0)
            self._logits = logits.masked_fill(~with_background[:, :, None], -torch.inf)
        self.annotated = None if annotated is None else annotated[:, None]

    @cached_property
    def _log_probabilities(self) -> Tensor:
        return F.log_softmax(self._logits, 1)

    @cached_property
    def log_likelihood(self) -> Tensor:
        """(B, 1, N), at most 0."""
        return self._log_probabilities.gather(1, self._index[:, None])

    @property
    def counted(self) -> Tensor | None:
        """(B, 1, N) bool; None for everywhere."""
        return self.annotated

    @cached_property
    def probabilities(self) -> Tensor:
        """(B, C, N), from 0 to 1."""
        return self._log_probabilities[:, 1:].exp()

    @cached_property
    def truth(self) -> Tensor:
        """(B, C, N) bool."""
        channels = torch.arange(1, self._logits.shape[1], device=self._index.device)
        return self._index[:, None] == channels[None, :, None]


class RegionComparison:
    """Classes that may overlap, by a sigmoid each; there is no background."""

    def __init__(self, logits: Tensor, values: Tensor, *, contoured: Tensor | None, labels: Labels) -> None:
        self._logits, self.contoured = logits, contoured
        self.annotated = None if labels.ignore is None else (values != labels.ignore)[:, None]
        self.truth = _membership(labels).to(values.device)[:, values.long()].transpose(0, 1)

    @cached_property
    def log_likelihood(self) -> Tensor:
        """(B, K, N), at most 0."""
        return F.logsigmoid(torch.where(self.truth, self._logits, -self._logits))

    @cached_property
    def counted(self) -> Tensor | None:
        """Broadcastable to (B, K, N), bool; None for everywhere."""
        if self.contoured is None:
            return self.annotated
        contoured = self.contoured[:, :, None]
        return contoured if self.annotated is None else contoured & self.annotated

    @cached_property
    def probabilities(self) -> Tensor:
        """(B, C, N), from 0 to 1."""
        return self._logits.sigmoid()


def _unless_all(contoured: Tensor) -> Tensor | None:
    return None if bool(contoured.all()) else contoured


def _channel_index(values: Tensor, labels: Labels) -> tuple[Tensor, Tensor | None]:
    """The softmax channel of each voxel's label, (B, N) int64 with ignored ones at 0; and where it is annotated."""
    annotated = None if labels.ignore is None else values != labels.ignore
    in_order = all(classes == (number,) for number, classes in enumerate(labels.classes.values(), start=1))
    if not in_order:
        table = torch.zeros(max(labels.values) + 1, dtype=torch.int64)
        for channel, members in enumerate(labels.classes.values(), start=1):
            table[list(members)] = channel
        return table.to(values.device)[values.long()], annotated
    index = values.long()
    return (index if annotated is None else index.where(annotated, 0)), annotated


def _membership(labels: Labels) -> Tensor:
    """(K, values) bool: which label values make up each class."""
    table = torch.zeros(len(labels.classes), max(labels.values) + 1, dtype=torch.bool)
    for channel, members in enumerate(labels.classes.values()):
        table[channel, list(members)] = True
    return table
