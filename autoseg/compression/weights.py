"""The weights that threshold pruning and quantisation work on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from autoseg.networks.blocks import CONVOLUTIONS, TRANSPOSED
from autoseg.networks.storage import load_whole_network, stored_grids

CONVOLUTION_KINDS = (*CONVOLUTIONS.values(), *TRANSPOSED.values())


def convolution_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of all convolutions, transposed ones and heads too, by name; no bias, no normalisation."""
    modules: Any = network.named_modules()
    return {f"{name}.weight": module.weight for name, module in modules if isinstance(module, CONVOLUTION_KINDS)}


def sparsity(network: nn.Module) -> float:
    """The share of zeros among the weights of all convolutions."""
    zeros, count = _counted(network)
    return zeros / max(1, count)


def zeros_and_levels(files: Iterable[Path]) -> tuple[float, int | None]:
    """Of stored networks together: the share of zeros as in sparsity(), and how many levels their weights lie on.

    Where these differ between tensors or networks it is the most of them; None where all are floats.
    """
    counts: list[tuple[int, int]] = []
    levels: list[int] = []
    for path in files:
        counts.append(_counted(load_whole_network(path)))
        levels += [grid.levels for grid in stored_grids(path).values()]
    zeros = sum(zeros for zeros, _ in counts)
    return zeros / max(1, sum(count for _, count in counts)), max(levels, default=None)


def _counted(network: nn.Module) -> tuple[int, int]:
    """How many weights are zero, of how many."""
    weights = convolution_weights(network).values()
    return sum(int((weight == 0).sum()) for weight in weights), sum(weight.numel() for weight in weights)
