"""The parts that every network is made of, in two or three dimensions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.networks.normalization import InstanceNorm
from autoseg.plans import Ints

NEGATIVE_SLOPE = 0.01

CONVOLUTIONS: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
POOLINGS: dict[int, Any] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}


def convolution(
    in_width: int, out_width: int, *, kernel: Ints, stride: Ints | None = None, bias: bool = False
) -> nn.Module:
    """A convolution with odd kernel edges, padded so that an edge of n becomes ceil(n / stride)."""
    kind = CONVOLUTIONS[len(kernel)]
    padding = tuple(edge // 2 for edge in kernel)
    return kind(in_width, out_width, kernel, stride or (1,) * len(kernel), padding, bias=bias)


def activate(x: Tensor) -> Tensor:
    """LeakyReLU in place: the backward pass of what came before does not need the values that are overwritten."""
    return F.leaky_relu(x, NEGATIVE_SLOPE, inplace=True)


class ConvBlock(nn.Module):
    """Convolution, instance normalisation and, unless left out, LeakyReLU: (B, in, ...) to (B, out, ...)."""

    def __init__(
        self, in_width: int, out_width: int, *, kernel: Ints, stride: Ints | None = None, activated: bool = True
    ) -> None:
        super().__init__()
        self.convolution = convolution(in_width, out_width, kernel=kernel, stride=stride)
        self.norm = InstanceNorm(out_width)
        self.activated = activated

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, in, ...); edges shrink by the stride."""
        x = self.norm(self.convolution(x))
        return activate(x) if self.activated else x


class ResidualBlock(nn.Module):
    """Two convolutions around which the input is led: BasicBlock-D of He et al., 2019 (arXiv:1812.01187).

    The way around averages over the stride, and has a 1x1 convolution only where the width changes.
    """

    def __init__(self, in_width: int, out_width: int, *, inner_width: int, kernel: Ints, stride: Ints) -> None:
        super().__init__()
        self.first = ConvBlock(in_width, inner_width, kernel=kernel, stride=stride)
        self.second = ConvBlock(inner_width, out_width, kernel=kernel, activated=False)
        around: list[nn.Module] = []
        if any(step > 1 for step in stride):
            around.append(POOLINGS[len(kernel)](stride, stride))
        if in_width != out_width:
            around.append(ConvBlock(in_width, out_width, kernel=(1,) * len(kernel), activated=False))
        self.around = nn.Sequential(*around)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, in, ...); edges shrink by the stride."""
        return activate(self.second(self.first(x)) + self.around(x))


def chain(in_width: int, widths: Ints, *, kernel: Ints, stride: Ints | None = None) -> nn.Sequential:
    """Convolution blocks one after the other; the first carries the stride."""
    blocks = []
    for number, width in enumerate(widths):
        blocks.append(ConvBlock(in_width, width, kernel=kernel, stride=None if number else stride))
        in_width = width
    return nn.Sequential(*blocks)


def initialise(network: nn.Module) -> None:
    """Draw weights after He et al., 2015 (arXiv:1502.01852) from torch's global random state; biases are zero."""
    modules: list[Any] = list(network.modules())
    for module in modules:
        if type(module) in (*CONVOLUTIONS.values(), *TRANSPOSED.values()):
            nn.init.kaiming_normal_(module.weight, NEGATIVE_SLOPE)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in modules:
        if isinstance(module, ResidualBlock):
            with torch.no_grad():
                module.second.norm.weight.zero_()
