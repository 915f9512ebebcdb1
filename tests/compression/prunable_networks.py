"""Small networks with every kind of joint, and a convolution whose sums have a fixed order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from autoseg.networks import build_network
from autoseg.networks.normalization import InstanceNorm
from autoseg.plans import LevelSpec, NetworkSpec


def spec_of(architecture: str, *, dimensions: int = 3, channels: int = 2, base: int = 6) -> NetworkSpec:
    """Three levels, two blocks each; the two deepest are equally wide, so that a residual sum spans both."""
    ones, twos, threes = (1,) * dimensions, (2,) * dimensions, (3,) * dimensions
    residual = architecture == "residual_unet"
    rows = []
    for number, width in enumerate((base, 2 * base, 2 * base)):
        rows.append(
            LevelSpec(
                twos if number else ones,
                threes,
                (width, width),
                (width - 1, width) if residual else (),
                width + 1 if number < 2 else None,
                (width, width - 2) if number < 2 else (),
            )
        )
    return NetworkSpec(architecture, dimensions, channels, 3, tuple(rows))


def seasoned(spec: NetworkSpec, seed: int = 0) -> nn.Module:
    """A network of which every part has an effect."""
    torch.manual_seed(seed)
    network = build_network(spec)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, InstanceNorm):
                module.weight.uniform_(-1.5, 1.5)
                module.bias.normal_(0, 0.5)
    return network.eval()


class OrderedSum(nn.Module):
    """A convolution that adds up its inputs channel by channel and tap by tap, each output for itself.

    Libraries add in blocks of channels, so that leaving out zeros moves the others to other places in the sum; here a
    zero is one addend that changes nothing.
    """

    def __init__(self, convolution: Any) -> None:
        super().__init__()
        self.inner = convolution
        self.transposed = isinstance(convolution, nn.ConvTranspose2d | nn.ConvTranspose3d)

    def forward(self, x: Tensor) -> Tensor:
        return self._spread(x) if self.transposed else self._gathered(x)

    def _gathered(self, x: Tensor) -> Tensor:
        inner, axes = self.inner, len(self.inner.kernel_size)
        pads = [pad for edge in reversed(inner.padding) for pad in (edge, edge)]
        x = torch.nn.functional.pad(x, pads)
        edges = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], inner.kernel_size, inner.stride, strict=True)]
        total = x.new_zeros(len(x), len(inner.weight), *edges)
        for tap in torch.cartesian_prod(*(torch.arange(k) for k in inner.kernel_size)).reshape(-1, axes).tolist():
            cut = tuple(slice(t, t + s * (n - 1) + 1, s) for t, s, n in zip(tap, inner.stride, edges, strict=True))
            seen = x[(slice(None), slice(None), *cut)]
            for channel in range(x.shape[1]):
                weights = inner.weight[(slice(None), channel, *tap)].reshape(1, -1, *(1,) * axes)
                total = total + weights * seen[:, channel : channel + 1]
        return total if inner.bias is None else total + inner.bias.reshape(1, -1, *(1,) * axes)

    def _spread(self, x: Tensor) -> Tensor:
        inner, axes = self.inner, len(self.inner.kernel_size)
        edges = [n * s for n, s in zip(x.shape[2:], inner.stride, strict=True)]
        total = x.new_zeros(len(x), inner.weight.shape[1], *edges)
        for tap in torch.cartesian_prod(*(torch.arange(k) for k in inner.kernel_size)).reshape(-1, axes).tolist():
            place = (slice(None), slice(None), *(slice(t, None, s) for t, s in zip(tap, inner.stride, strict=True)))
            part = total[place]
            for channel in range(x.shape[1]):
                weights = inner.weight[(channel, slice(None), *tap)].reshape(1, -1, *(1,) * axes)
                part = part + weights * x[:, channel : channel + 1]
            total[place] = part
        return total


def in_order(network: nn.Module) -> nn.Module:
    """The network with every convolution replaced by its OrderedSum, in place."""
    kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, kinds):
                setattr(module, name, OrderedSum(child))
    return network
