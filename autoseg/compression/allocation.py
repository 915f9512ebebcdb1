"""How many channels every group keeps: by a ratio of its own, or by ranking the filters of all groups together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from autoseg.compression.coupling import Coupling

if TYPE_CHECKING:
    from torch import Tensor

Widths = dict[str, int]
"""Channels to keep, by the name of the group."""
MOST_CUT = 0.95
"""Of a group, by a global ranking: a layer that the ranking would empty keeps the rest."""


def rounded(width: int, keep: float, granularity: int) -> int:
    """The multiple of `granularity` nearest to `keep`, at least one of it; half a one keeps more.

    Never more than the width; a width of at most one granule stays as it is.
    """
    if width <= granularity:
        return width
    count = granularity * math.floor(keep / granularity + 0.5)
    return min(width, max(granularity, count))


def layer_widths(coupling: Coupling, ratio: float, *, granularity: int) -> Widths:
    """Every group loses the same share of its filters. ratio: from 0 to below 1."""
    kept = {name: rounded(width, (1 - ratio) * width, granularity) for name, width in coupling.widths.items()}
    return separated(coupling, kept, granularity=granularity)


def global_widths(coupling: Coupling, curves: Mapping[str, Tensor], ratio: float, *, granularity: int) -> Widths:
    """All filters together lose this share: those of the lowest scores, wherever they are.

    curves: (width,) scores of each group in ascending order, see joined_curves; comparable between groups.
    """
    import torch

    scores = torch.cat([curves[name] for name in coupling.groups])
    cut_count = round(ratio * len(scores))
    threshold = scores.sort().values[cut_count] if cut_count < len(scores) else scores.max()
    kept = {}
    for name, width in coupling.widths.items():
        above = int((curves[name] >= threshold).sum())
        kept[name] = rounded(width, max(above, (1 - MOST_CUT) * width), granularity)
    return separated(coupling, kept, granularity=granularity)


def joined_curves(folds: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean over networks of one spec of each group's sorted scores: filters of two networks have no counterparts.

    folds: (width,) scores by group, one mapping per network.
    """
    import torch

    return {name: torch.stack([scores[name].double().sort().values for scores in folds]).mean(0) for name in folds[0]}


def separated(coupling: Coupling, kept: Widths, *, granularity: int) -> Widths:
    """The widths with those of groups that must differ made to (Coupling.apart): the second keeps a granule more.

    Where it has none to keep, the first one does, or loses one.
    """
    kept = dict(kept)
    for first, second in coupling.apart:
        if kept[first] != kept[second]:
            continue
        for name, change in ((second, granularity), (first, granularity), (first, -granularity), (first, -1)):
            if 0 < kept[name] + change <= coupling.groups[name].width:
                kept[name] += change
                break
    # A change may have met the next pair: walking the pairs in order settles chains from the finest level down.
    return kept


def no_wider(coupling: Coupling, kept: Widths, than: Mapping[str, int], *, granularity: int) -> Widths:
    """The widths, none above that of an earlier step: what is cut stays cut."""
    return separated(coupling, {name: min(width, than[name]) for name, width in kept.items()}, granularity=granularity)
