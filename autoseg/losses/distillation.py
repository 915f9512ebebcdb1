"""Distillation: a larger network teaches by its logits, and on request by where its features are strong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.labels import Labels
from autoseg.losses.deep_supervision import level_weights
from autoseg.losses.target import Target


@dataclass(frozen=True, eq=False)
class TaughtTarget:
    """A target together with what the teacher said.

    logits: (B, K, ...) of every decoder level, finest first. attention: of every encoder level, see attention_map;
    empty where features do not teach. labelled: False where the target is not known and means nothing.
    """

    target: Target
    logits: tuple[Tensor, ...]
    attention: tuple[Tensor, ...] = ()
    labelled: bool = True

    def to(self, device: str | torch.device) -> TaughtTarget:
        """The same on another device."""
        logits = tuple(level.to(device) for level in self.logits)
        attention = tuple(level.to(device) for level in self.attention)
        return TaughtTarget(self.target.to(device), logits, attention, self.labelled)


@dataclass(frozen=True)
class TeachingWeights:
    """logits: the share of the teacher's answers in the loss, from 0 to 1, at 1 labels do not count. temperature: that
    softens both networks' answers. features: the weight of the attention maps, beside both; 0 for none."""

    logits: float
    temperature: float
    features: float = 0.0


class Distillation(nn.Module):
    """(1 - w) * loss(labels) + w * T^2 * divergence(teacher, student at temperature T) + f * distance of attention.

    Hinton et al. 2015 (arXiv:1503.02531). Where there are no labels, the divergence counts in full. The divergence is
    that of Kullback and Leibler: of the softmax over exclusive labels, for regions of a Bernoulli each; the mean over
    voxels (and regions), over the decoder's levels by level_weights. See attention_distance for the last term.
    """

    def __init__(
        self, loss: nn.Module, labels: Labels, weights: TeachingWeights, attention: Callable[[], Sequence[Tensor]]
    ) -> None:
        super().__init__()
        self.loss, self.weights, self.attention = loss, weights, attention
        self.has_regions = labels.has_regions

    def forward(self, logits: Sequence[Tensor] | Tensor, taught: TaughtTarget) -> Tensor:
        """logits: of each level, finest first, or of the finest alone; the student's."""
        student = [logits] if isinstance(logits, Tensor) else list(logits)
        share = self.weights.logits if taught.labelled else 1.0
        total = share * self._divergence(student, taught.logits) if share else student[0].new_zeros(())
        if share < 1:
            total = total + (1 - share) * self.loss(logits, taught.target)
        if self.weights.features:
            total = total + self.weights.features * attention_distance(self.attention(), taught.attention)
        return total

    def _divergence(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        shares = level_weights(len(student))
        kind = region_divergence if self.has_regions else softmax_divergence
        parts = [
            weight * kind(own, answer, self.weights.temperature)
            for own, answer, weight in zip(student, teacher, shares, strict=False)
            if weight > 0
        ]
        return sum(parts[1:], parts[0])


def softmax_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 times the mean over voxels of sum_k p_k (log p_k - log q_k); p of the teacher, q of the student; >= 0."""
    own = F.log_softmax(student.float() / temperature, 1)
    answer = F.log_softmax(teacher.float() / temperature, 1)
    return temperature**2 * (answer.exp() * (answer - own)).sum(1).mean()


def region_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 times the mean over voxels and regions of the divergence of two Bernoulli distributions; >= 0."""
    own, answer = student.float() / temperature, teacher.float() / temperature
    p = answer.sigmoid()
    there = p * (F.logsigmoid(answer) - F.logsigmoid(own))
    absent = (1 - p) * (F.logsigmoid(-answer) - F.logsigmoid(-own))
    return temperature**2 * (there + absent).mean()


def attention_map(features: Tensor) -> Tensor:
    """Where a level's features are strong: the mean over channels of their squares, of norm one per sample.

    features: (B, C, ...). Returns (B, N). Zagoruyko and Komodakis 2017 (arXiv:1612.03928): it does not depend on the
    number of channels, so that a network of other widths can be held against it.
    """
    return F.normalize(features.float().square().mean(1).flatten(1), dim=1)


def attention_distance(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """The mean over levels and samples of |a - b|^2 of attention maps (B, N), from 0 to 4."""
    parts = [(own - answer).square().sum(1).mean() for own, answer in zip(student, teacher, strict=True)]
    return torch.stack(parts).mean()


class AttentionTap:
    """Notes the attention maps of a network's encoder levels at every forward pass in training mode.

    A copy of the network has no tap.
    """

    def __init__(self, network: nn.Module) -> None:
        self.maps: list[Tensor] = []
        given: Any = network
        self._count = len(given.encoder)
        self._removers = [level.register_forward_hook(self) for level in given.encoder]

    def __call__(self, level: nn.Module, inputs: Any, output: Tensor) -> None:
        """What torch calls after a level."""
        if not level.training:
            return
        if len(self.maps) >= self._count:
            self.maps = []
        self.maps.append(attention_map(output))

    def taken(self) -> list[Tensor]:
        """The maps of the last forward pass; they are not held any longer."""
        maps, self.maps = self.maps, []
        return maps

    def remove(self) -> None:
        """Leave the network as it was."""
        for remover in self._removers:
            remover.remove()
        self.maps = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _no_tap


def _no_tap(level: nn.Module, inputs: Any, output: Tensor) -> None:
    """What a copied network calls in place of the tap."""


def taught(
    teacher: nn.Module, image: Tensor, target: Target, *, tap: AttentionTap | None = None, labelled: bool = True
) -> TaughtTarget:
    """Ask a teacher, in training mode for all its levels, about an image (B, C, ...)."""
    with torch.no_grad():
        answers = teacher(image)
    return TaughtTarget(target, tuple(answers), tuple(tap.taken()) if tap else (), labelled)
