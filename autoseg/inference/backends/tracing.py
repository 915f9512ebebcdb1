"""A network as torch's graph, from which other engines take it over."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn


def traced(network: nn.Module) -> Any:
    """The graph of a network in evaluation mode, of its final logits only, for patches of any size.

    It is recorded on a small patch, which costs a fraction of a second. Only the norm of a map of a single voxel asks
    for the size, and what other maps do gives the same there: the shift.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of the question about the single voxel
        return torch.jit.trace(network.eval(), small_image(network), check_trace=False)


def small_image(network: nn.Module) -> Tensor:
    """(1, C, *edges) of zeros: the smallest of which the deepest map has two voxels per axis."""
    spec: Any = network.spec
    return torch.zeros(1, spec.in_channels, *(2 * divisor for divisor in spec.divisor))
