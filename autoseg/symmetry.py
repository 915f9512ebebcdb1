"""Which classes are the left and the right one of a pair: found by name, confirmed by where they lie."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WORDS = {"left": "right", "lt": "rt", "l": "r"}
SEPARATORS = re.compile(r"([_\-. ()]+)")

AGREEING_CASES = 0.9
"""The least fraction of the cases in which both members must lie apart in the same way."""
SIDEWAYS_RATIO = 2.0
"""Apart from left to right at least this many times as far as in any other direction."""
LARGEST_VOLUME_RATIO = 3.0
"""Between the members, at the median over cases."""


@dataclass(frozen=True)
class Placement:
    """Both members of a pair in one case. left_mm, right_mm: world (x, y, z) of their centres; volumes in mm3."""

    left_mm: tuple[float, float, float]
    right_mm: tuple[float, float, float]
    left_mm3: float
    right_mm3: float


def name_pairs(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(left, right) pairs among the names, in their order.

    Two names are a pair where they differ only in left and right (anywhere: LeftParotid, kidney_left), or in one
    separate part l and r, or lt and rt (Parotid_L, l-lung, Rt Lung). Upper and lower case do not matter.
    """
    known = {name.casefold(): name for name in names}
    pairs = []
    for name in names:
        found = [known[other] for other in _right_names(name.casefold()) if other in known]
        if found:
            pairs.append((name, found[0]))
    return tuple(pairs)


def _right_names(name: str) -> list[str]:
    """What the right partner of a left name may be called."""
    candidates = [name.replace("left", "right")] if "left" in name else []
    parts = SEPARATORS.split(name)
    for index, part in enumerate(parts):
        if part in WORDS:
            candidates.append("".join([*parts[:index], WORDS[part], *parts[index + 1 :]]))
    return candidates


def is_mirrored(placements: Sequence[Placement]) -> bool:
    """Whether the members lie like mirror images of each other: side by side, on steady sides, and of like size.

    Which side is called left does not matter: a data set may carry a wrong orientation. Pairs that are one another's
    neighbour rather than mirror image (the two ventricles of a heart) lie askew and fail. No placement: False.
    """
    if not placements:
        return False
    steps = np.array([np.subtract(p.right_mm, p.left_mm) for p in placements])
    ratios = [max(p.left_mm3, p.right_mm3) / min(p.left_mm3, p.right_mm3) for p in placements]
    sideways = np.abs(steps[:, 0]) >= SIDEWAYS_RATIO * np.abs(steps[:, 1:]).max(axis=1)
    towards_right = (sideways & (steps[:, 0] > 0)).mean()
    towards_left = (sideways & (steps[:, 0] < 0)).mean()
    return bool(max(towards_right, towards_left) >= AGREEING_CASES and np.median(ratios) <= LARGEST_VOLUME_RATIO)
