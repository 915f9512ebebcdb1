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


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal, for convolutions and matrices; AdamW for everything else.

    A weight of several dimensions is taken as a matrix, output channels by all the rest. With g its gradient:

        m = b m + g        U = orthogonal(g + b m)        w = w - lr (.2 sqrt(max(rows, columns)) U + d w)

    orthogonal() gives all singular values the size of about one, by five Newton-Schulz steps (Jordan et al. 2024,
    kellerjordan.github.io/posts/muon); the factor .2 sqrt(.) makes a step as large as AdamW's, so that one rate serves
    both (Liu et al. 2025, arXiv:2502.16982). Vectors, and matrices with a single column per tap (the first
    convolution of a single channel), follow AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101).
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    step = self._orthogonal if is_matrix(parameter) else self._adaptive
                    step(parameter, parameter.grad, group)

    def _orthogonal(self, parameter: nn.Parameter, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].mul_(group["momentum"]).add_(gradient)
        step = gradient.add(state["momentum"], alpha=group["momentum"]).movedim(1, -1)
        matrix = step.flatten(1)  # in the order of channels-last, where it copies nothing
        size = 0.2 * max(matrix.shape) ** 0.5
        parameter.add_(orthogonalized(matrix).view(step.shape).movedim(-1, 1), alpha=-group["lr"] * size)

    def _adaptive(self, parameter: nn.Parameter, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state, (beta1, beta2) = self.state[parameter], group["betas"]
        if not state:
            state.update(step=0, first=torch.zeros_like(parameter), second=torch.zeros_like(parameter))
        state["step"] += 1
        state["first"].lerp_(gradient, 1 - beta1)
        state["second"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        spread = (state["second"] / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
        parameter.addcdiv_(state["first"] / (1 - beta1 ** state["step"]), spread, value=-group["lr"])


def is_matrix(parameter: torch.Tensor) -> bool:
    """Whether a weight has several inputs and several outputs, so that an orthogonal step has a meaning."""
    return parameter.ndim >= 2 and min(parameter.shape[:2]) > 1


def orthogonalized(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The matrix (rows, columns) with its singular values brought near one (within about .7 and 1.2), in its own type.

    Newton-Schulz with the coefficients of Jordan et al., which favour speed over exactness: x becomes p(x x^T) x in
    each step. As every p commutes with x x^T, the steps are taken on that small matrix alone, and the product of all p
    is applied to the large one at the end: two large matrix products in place of ten.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T
    product = torch.eye(len(x), dtype=x.dtype, device=x.device)
    for step in range(steps):
        factor = torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        factor.diagonal().add_(3.4445)
        product = factor @ product
        if step + 1 < steps:
            gram = factor @ gram @ factor
    x = product @ x
    return x if wide else x.T


@dataclass(frozen=True)
class OptimizerChoice:
    """How to make an optimiser, its usual rate, and the gradient norm beyond which gradients are scaled down."""

    make: Callable[[list[nn.Parameter], float], torch.optim.Optimizer]
    clip_norm: float
    learning_rate: float


def _sgd(parameters: list[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, learning_rate, momentum=0.99, nesterov=True, weight_decay=3e-5)


def _adamw(parameters: list[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, learning_rate, weight_decay=1e-2)


def _novograd(parameters: list[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    return NovoGrad(parameters, learning_rate, weight_decay=1e-4)


def _muon(parameters: list[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    return Muon(parameters, learning_rate, weight_decay=1e-2)


# SGD's values are nnU-Net's (Isensee et al. 2021); a norm of 1 keeps the early, noisy
# steps of the adaptive ones in bounds. Rates: AdamW's and Muon's from our experiments, NovoGrad's of a liver system.
OPTIMIZERS = {
    "sgd": OptimizerChoice(_sgd, clip_norm=12.0, learning_rate=1e-2),
    "adamw": OptimizerChoice(_adamw, clip_norm=1.0, learning_rate=5e-3),
    "muon": OptimizerChoice(_muon, clip_norm=1.0, learning_rate=5e-3),
    "novograd": OptimizerChoice(_novograd, clip_norm=12.0, learning_rate=4e-3),
}


def find_optimizer(name: str) -> OptimizerChoice:
    """The registered optimiser; OptionError lists the names that are known."""
    if name not in OPTIMIZERS:
        raise unknown_name("optimizer", name, OPTIMIZERS)
    return OPTIMIZERS[name]
