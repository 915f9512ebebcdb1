"""One loss at every resolution of the decoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from autoseg.losses.target import Target


class DeepSupervision(nn.Module):
    """The weighted mean of a loss over the decoder's levels (Lee et al., 2015, arXiv:1409.5185); see level_weights."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Sequence[Tensor] | Tensor, target: Target) -> Tensor:
        """logits: of each level, finest first, or of the finest alone. target: at the finest resolution."""
        if isinstance(logits, Tensor):
            return self.loss(logits, target)
        weighted = [
            weight * self.loss(level, target.at(level.shape[2:]))
            for level, weight in zip(logits, level_weights(len(logits)), strict=True)
            if weight > 0
        ]
        return sum(weighted[1:], weighted[0])


def level_weights(count: int) -> tuple[float, ...]:
    """1, 1/2, 1/4, ... with 0 for the coarsest of several, scaled to a sum of 1."""
    weights = [0.5**level for level in range(count)]
    if count > 1:
        weights[-1] = 0.0
    return tuple(weight / sum(weights) for weight in weights)
