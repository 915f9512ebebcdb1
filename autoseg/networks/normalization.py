"""Instance normalisation, fast in channels-last on a CPU, forwards and backwards."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5


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
        """x: (B, width, ...) of any memory format, which the result keeps."""
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=EPSILON)
