"""Optimisers by name, each with the weight decay and the gradient clipping that belong to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from autoseg.errors import unknown_name


class NovoGrad(torch.optim.Optimizer):
    """Stochastic gradient descent with one adaptive second moment per tensor (Ginsburg et al. 2019, arXiv:1905.11286).

        v = b2 v + (1 - b2) |g|^2        m = b1 m + (g / (sqrt(v) + eps) + d w)        w = w - lr m

    The first step sets v = |g|^2 and m = g / |g| + d w.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        *,
        betas: tuple[float, float] = (0.95, 0.98),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        squared_norm = gradient.pow(2).sum()
        if not state:
            state["second_moment"] = squared_norm
            state["momentum"] = torch.zeros_like(parameter)
        else:
            state["second_moment"].mul_(group["betas"][1]).add_(squared_norm, alpha=1 - group["betas"][1])
        step = gradient / (state["second_moment"].sqrt() + group["eps"])
        step = step.add(parameter, alpha=group["weight_decay"])
        state["momentum"].mul_(group["betas"][0]).add_(step)
        parameter.add_(state["momentum"], alpha=-group["lr"])


@dataclass(frozen=True)
class OptimizerChoice:
    """How to make an optimiser, and the gradient norm beyond which gradients are scaled down."""

    make: Callable[[list[nn.Parameter], float], torch.optim.Optimizer]
    clip_norm: float


def _sgd(parameters: list[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, learning_rate, momentum=0.99, nesterov=True, weight_decay=3e-5)


def _adamw(parameters: list[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, learning_rate, weight_decay=1e-2)


def _novograd(parameters: list[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    return NovoGrad(parameters, learning_rate, weight_decay=1e-4)


# SGD's values are nnU-Net's (Isensee et al. 2021); a norm of 1 keeps AdamW's early, noisy steps in bounds.
OPTIMIZERS = {
    "sgd": OptimizerChoice(_sgd, clip_norm=12.0),
    "adamw": OptimizerChoice(_adamw, clip_norm=1.0),
    "novograd": OptimizerChoice(_novograd, clip_norm=12.0),
}


def find_optimizer(name: str) -> OptimizerChoice:
    """The registered optimiser; OptionError lists the names that are known."""
    if name not in OPTIMIZERS:
        raise unknown_name("optimizer", name, OPTIMIZERS)
    return OPTIMIZERS[name]
