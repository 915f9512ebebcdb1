"""The weights that threshold pruning and quantisation work on."""

from __future__ import annotations

from typing import Any

from torch import nn

from autoseg.networks.blocks import CONVOLUTIONS, TRANSPOSED

CONVOLUTION_KINDS = (*CONVOLUTIONS.values(), *TRANSPOSED.values())


def convolution_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of all convolutions, transposed ones and heads too, by name; no bias, no normalisation."""
    modules: Any = network.named_modules()
    return {f"{name}.weight": module.weight for name, module in modules if isinstance(module, CONVOLUTION_KINDS)}


def sparsity(network: nn.Module) -> float:
    """The share of zeros among the weights of all convolutions."""
    weights = convolution_weights(network).values()
    return sum(int((weight == 0).sum()) for weight in weights) / max(1, sum(weight.numel() for weight in weights))
