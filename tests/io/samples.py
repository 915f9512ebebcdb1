"""Grids for the tests of this folder."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from autoseg.geometry import Geometry


def grid(shape: tuple[int, int, int] = (4, 3, 2), **changes: Any) -> Geometry:
    values: dict[str, Any] = {"spacing_mm": (2.5, 0.9765625, 0.7), "origin_mm": (-123.4, 345.6, -789.1)}
    return Geometry(shape, **{**values, **changes})


def orientations() -> list[tuple[tuple[float, float, float], ...]]:
    """All 48: which world axis each array axis runs along, and which way."""
    found = []
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((-1.0, 1.0), repeat=3):
            found.append(tuple(tuple(s * (a == b) for b in range(3)) for a, s in zip(axes, signs, strict=True)))
    return found


def oblique(seed: int) -> tuple[tuple[float, float, float], ...]:
    """A random rotation."""
    matrix, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return tuple(tuple(row) for row in matrix.tolist())
