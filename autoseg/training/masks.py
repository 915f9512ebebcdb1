"""Masks: weights that are zero and stay zero, whatever the optimiser and the average remember."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.training.loop import Hook, TrainingLoop


class Masks(Hook):
    """Keeps weights at zero during training. Put it before WeightAverage, which then averages masked weights.

    masks: by the parameter's name, in its shape; True for what is trained. A masked weight's gradient is zeroed before
    anything sees it: it takes no part in the norm of the gradient, in momentum or second moments, nor in the rows and
    columns that Muon makes orthogonal. After each step the weight itself is set to zero once more, for what moves it
    without a gradient.
    """

    def __init__(self, masks: Mapping[str, Tensor]) -> None:
        self.masks = dict(masks)
        self._removers: list[Any] = []

    def start(self, loop: TrainingLoop) -> None:
        """Zero the masked weights and what the optimiser remembers of them; from now on their gradients too."""
        self._apply(loop.network)
        for parameter, mask in self._masked(loop.network):
            for value in loop.optimizer.state.get(parameter, {}).values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    value.mul_(mask)
            self._removers.append(parameter.register_post_accumulate_grad_hook(self._zero_gradient(mask)))

    def after_step(self, loop: TrainingLoop) -> None:
        """Zero the masked weights."""
        self._apply(loop.network)

    def end(self, loop: TrainingLoop) -> None:
        """Leave the network's gradients alone again."""
        for remover in self._removers:
            remover.remove()
        self._removers = []

    def state(self) -> dict[str, Any]:
        """The masks, as bytes."""
        return {"masks": {name: mask.to(torch.uint8) for name, mask in self.masks.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Take the masks back: those that the run was begun with. The tensors stay those that are in use."""
        for name, mask in state["masks"].items():
            self.masks[name].copy_(mask.to(torch.bool))

    @torch.no_grad()
    def _apply(self, network: nn.Module) -> None:
        for parameter, mask in self._masked(network):
            parameter.mul_(mask)

    def _masked(self, network: nn.Module) -> list[tuple[nn.Parameter, Tensor]]:
        return [(value, self.masks[name]) for name, value in network.named_parameters() if name in self.masks]

    @staticmethod
    def _zero_gradient(mask: Tensor) -> Any:
        def zero(parameter: Tensor) -> None:
            if parameter.grad is not None:
                parameter.grad.mul_(mask)

        return zero
