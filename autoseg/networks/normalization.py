"""Instance normalisation that is fast in channels-last on a CPU, forwards and backwards."""

from __future__ import annotations

from typing import Any

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
            return PerSampleNorm.apply(x, self.weight, self.bias)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=EPSILON)


def is_channels_last_on_cpu(x: Tensor) -> bool:
    """Whether PerSampleNorm suits: torch's own instance normalisation would copy such a tensor back and forth."""
    kind = CHANNELS_LAST.get(x.ndim)
    return x.device.type == "cpu" and kind is not None and x.is_contiguous(memory_format=kind)


def is_recorded() -> bool:
    """Whether torch is turning the network into another format, which wants its own operators."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


class PerSampleNorm(torch.autograd.Function):
    """Instance normalisation as batch normalisation of one sample at a time, straight into its place in the result.

    Batch normalisation knows channels-last, vectorised and parallel; joining the samples by torch.cat would copy
    everything once more. Measured in documentation/decisions/0020-convolutions-and-normalisation.md.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """x: (B, C, ...); weight, bias: (C,)."""
        result = torch.empty_like(x)
        mean = torch.empty(x.shape[:2], dtype=weight.dtype)
        inverse_std = torch.empty_like(mean)
        for i, sample in enumerate(x.split(1)):
            out = (result[i : i + 1], mean[i], inverse_std[i])
            torch.native_batch_norm(sample, weight, bias, None, None, True, 0.0, EPSILON, out=out)
        ctx.save_for_backward(x, weight, mean, inverse_std)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of x, weight and bias out of that of the result."""
        x, weight, mean, inverse_std = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=CHANNELS_LAST[x.ndim])
        of_x, of_weight, of_bias = torch.empty_like(x), torch.empty_like(mean), torch.empty_like(mean)
        differentiate = torch.ops.aten.native_batch_norm_backward.out
        for i, sample in enumerate(x.split(1)):
            statistics = (weight, None, None, mean[i], inverse_std[i])
            differentiate(
                gradient[i : i + 1],
                sample,
                *statistics,
                train=True,
                eps=EPSILON,
                output_mask=[True, True, True],
                out0=of_x[i : i + 1],
                out1=of_weight[i],
                out2=of_bias[i],
            )
        return of_x, of_weight.sum(0), of_bias.sum(0)
