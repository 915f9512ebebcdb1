"""Instance normalisation that is fast in channels-last on a CPU, forwards and backwards."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


class InstanceNorm(nn.Module):
    """Zero mean and unit variance per sample and channel, then a learned scale and shift per channel.

    y = weight * (x - mean) / sqrt(variance + 1e-5) + bias; x: (B, width, ...). The statistics are those of the input
    itself, in training and in evaluation mode. A map of a single voxel becomes the bias.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, width, ...); channels-last on a CPU stays channels-last."""
        if x[0, 0].numel() == 1:
            return x * 0 + self.bias.to(x.dtype).view(1, -1, *(1,) * (x.ndim - 2))
        if is_channels_last_on_cpu(x) and not is_recorded():
            return per_sample_norm(x, self.weight, self.bias)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=EPSILON)


def is_channels_last_on_cpu(x: Tensor) -> bool:
    """Whether per_sample_norm suits: torch's own instance normalisation would copy such a tensor back and forth."""
    kind = CHANNELS_LAST.get(x.ndim)
    return x.device.type == "cpu" and kind is not None and x.is_contiguous(memory_format=kind)


def is_recorded() -> bool:
    """Whether torch is turning the network into another format, for any batch size."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


def per_sample_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Instance normalisation as batch normalisation of one sample at a time, which knows channels-last.

    x: (B, C, ...); weight, bias: (C,). Measured in documentation/decisions/0020-convolutions-and-normalisation.md.
    """
    samples = [F.batch_norm(one, None, None, weight, bias, training=True, eps=EPSILON) for one in x.split(1)]
    return torch.cat(samples) if len(samples) > 1 else samples[0]
