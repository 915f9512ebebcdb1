"""Whether prediction averages over flipped copies: worth a little Dice, at eight times the work of a plain pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autoseg.networks.closed_form import multiply_adds
from autoseg.plans import Ints
from planners.stages import StageDraft

AFFORDABLE_MULTIPLY_ADDS = 1e12
"""Of one median case with all its flips: a quarter of a minute on two ordinary cores."""
OVERLAP = 0.5
"""Of neighbouring windows, as prediction has it by default."""


@dataclass(frozen=True)
class Flips:
    """chosen: "all" or "none". windows: that a median case needs; work: its multiply-adds with all flips."""

    chosen: str
    windows: int
    work: float


def choose_flips(draft: StageDraft, mirror_axes: Ints, *, slices: float, device: str) -> Flips:
    """All flips on a GPU, and on a CPU where they cost little; how little does not depend on the machine.

    slices: of a median case, which a 2D stage predicts one by one.
    """
    patch, is_2d = draft.patch_size, len(draft.patch_size) == 2
    windows = math.prod(windows_along(size, edge) for size, edge in zip(draft.grid.median_shape, patch, strict=True))
    windows *= math.ceil(slices) if is_2d else 1
    copies = 2 ** len([axis for axis in mirror_axes if not (is_2d and axis == 0)])
    work = float(copies * windows * multiply_adds(draft.spec, patch))
    return Flips("all" if device == "cuda" or work <= AFFORDABLE_MULTIPLY_ADDS else "none", windows, work)


def windows_along(size: float, edge: int) -> int:
    """Windows of prediction along an axis, half overlapping."""
    return 1 + max(0, math.ceil((size - edge) / (edge * (1 - OVERLAP))))
