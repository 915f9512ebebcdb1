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
    return separated(coupling, kept, coupling.widths, granularity=granularity)


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
    return separated(coupling, kept, coupling.widths, granularity=granularity)


def joined_curves(folds: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean over networks of one spec of each group's sorted scores: filters of two networks have no counterparts.

    folds: (width,) scores by group, one mapping per network.
    """
    import torch

    return {name: torch.stack([scores[name].double().sort().values for scores in folds]).mean(0) for name in folds[0]}


def separated(coupling: Coupling, kept: Widths, most: Mapping[str, int], *, granularity: int) -> Widths:
    """The widths with those of groups that must differ made to (Coupling.apart), by a granule more or less of one.

    most: that each group may keep. Where no granule is left to give or take, the second group of a pair loses one
    channel.
    """
    kept = dict(kept)
    for number, (first, second) in enumerate(coupling.apart):
        if kept[first] != kept[second]:
            continue
        settled = coupling.apart[: number + 1]
        for name, change in ((second, granularity), (second, -granularity), (first, granularity), (second, -1)):
            tried = kept | {name: kept[name] + change}
            if 0 < tried[name] <= most[name] and all(tried[a] != tried[b] for a, b in settled):
                kept = tried
                break
    return kept


def no_wider(coupling: Coupling, kept: Widths, than: Mapping[str, int], *, granularity: int) -> Widths:
    """The widths, none above that of an earlier step: what is cut stays cut."""
    narrow = {name: min(width, than[name]) for name, width in kept.items()}
    return separated(coupling, narrow, than, granularity=granularity)
