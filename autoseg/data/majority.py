"""Labels between voxels: the value with the most linear weight, for any number of classes at one price."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

TIE_BREAK = np.float32(1e-3)


def majority(layers: np.ndarray, points: Sequence[np.ndarray], outside: int) -> np.ndarray:
    """The label with the most linear weight at each point.

    layers: (L, ...) labels, sampled alike. points: for each axis after the first, float32 indices, all of one shape
    with N points. outside: the label beyond the layers. Returns (L, N).
    """
    padded = np.pad(layers, [(0, 0)] + [(1, 1)] * len(points), constant_values=outside)
    steps = [math.prod(padded.shape[axis + 2 :]) for axis in range(len(points))]
    first = np.zeros((), np.int64)
    shares = []
    for point, length, step in zip(points, layers.shape[1:], steps, strict=True):
        point = np.clip(point.ravel(), -1, length)
        floor = np.minimum(np.floor(point), length - 1)
        shares.append(point - floor)
        first = first + (floor.astype(np.int64) + 1) * step
    flat = padded.reshape(len(layers), -1)
    result = flat[:, first]
    layer, index = np.nonzero(_mixed_cells(padded).reshape(len(layers), -1)[:, first])
    corners = list(product((0, 1), repeat=len(points)))
    values = [flat[layer, first[index] + int(np.dot(corner, steps))] for corner in corners]
    weights = [_weight(corner, [share[index] for share in shares]) for corner in corners]
    result[layer, index] = _heaviest(values, weights)
    return result


def _mixed_cells(layers: np.ndarray) -> np.ndarray:
    """Whether the cell that starts at each voxel of (L, ...) has corners with different labels."""
    low, high = layers, layers
    for axis in range(1, layers.ndim):
        following = [slice(None)] * layers.ndim
        following[axis] = slice(1, None)
        here = [slice(None)] * layers.ndim
        here[axis] = slice(None, -1)
        new_low, new_high = low.copy(), high.copy()
        np.minimum(low[tuple(here)], low[tuple(following)], out=new_low[tuple(here)])
        np.maximum(high[tuple(here)], high[tuple(following)], out=new_high[tuple(here)])
        low, high = new_low, new_high
    return low != high


def _weight(corner: Sequence[int], shares: Sequence[np.ndarray]) -> np.ndarray:
    """The linear weight of a corner. shares: per axis, (N,) distances to the lower corner."""
    weight = np.ones((), np.float32)
    for bit, share in zip(corner, shares, strict=True):
        weight = weight * (share if bit else 1 - share)
    return weight


def _heaviest(values: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> np.ndarray:
    """The value with the largest summed weight, elementwise over (N,) arrays."""
    best, best_score = values[0].copy(), np.full(values[0].shape, -1.0, np.float32)
    for value, own in zip(values, weights, strict=True):
        score = TIE_BREAK * own
        for other, weight in zip(values, weights, strict=True):
            score += weight * (other == value)
        better = score > best_score
        best[better], best_score[better] = value[better], score[better]
    return best
