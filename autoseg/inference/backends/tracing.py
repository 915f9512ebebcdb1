"""A network as torch's graph, from which other engines take it over."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.plans import Ints


def traced(network: nn.Module, patch_size: Ints) -> Any:
    """The graph of a network in evaluation mode, of its final logits only: good for patches of this size.

    It is recorded on a small patch, which costs a fraction of a second: nothing in a network depends on the edges but
    whether a map is a single voxel, and that is so in both patches or in neither.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of the question about the single voxel
        return torch.jit.trace(network.eval(), small_image(network, patch_size), check_trace=False)


def small_image(network: nn.Module, patch_size: Ints) -> Tensor:
    """(1, C, *edges) of zeros, with the fewest voxels that take the same ways through the network as a patch."""
    spec: Any = network.spec
    edges = [min(edge, 2 * divisor) for edge, divisor in zip(patch_size, spec.divisor, strict=True)]
    return torch.zeros(1, spec.in_channels, *edges)
