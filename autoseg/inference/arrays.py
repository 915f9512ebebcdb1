"""Windows and logits: numpy arrays on a CPU, so that only engines that need torch load it; torch tensors on a GPU."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""An ndarray or a Tensor. What both have is used as it is: arithmetic, slices, shape."""


def on_host(array: Array) -> np.ndarray:
    """An array as float32 in main memory; itself where it is that already."""
    return array if isinstance(array, np.ndarray) else array.float().cpu().numpy()


def beside(array: Array, other: Array) -> Array:
    """An array of the other's kind, in the memory where the other is."""
    if isinstance(other, np.ndarray):
        return on_host(array)
    if isinstance(array, np.ndarray):
        import torch

        array = torch.from_numpy(np.ascontiguousarray(array))
    return array.to(other.device)


def add_weighted(sums: Array, window: Array, weights: Array | None) -> None:
    """Add a window (K, z, y, x) times weights (broadcastable to z, y, x) to sums; with None it replaces them."""
    window = beside(window, sums)
    if weights is None:
        sums[...] = window
    elif isinstance(sums, np.ndarray):
        factors = on_host(weights)
        for one, values in zip(sums, window, strict=True):  # class by class: what is in between stays in the cache
            one += values * factors
    else:
        sums.addcmul_(window.float(), beside(weights, sums))


def repeated(values: tuple[float, ...], count: int, box: tuple[int, ...], device: str) -> Array:
    """(count, K, *box) windows that say the same of every voxel, without memory for them."""
    shape, column = (count, len(values), *box), (1, len(values), 1, 1, 1)
    if device == "cpu":
        return np.broadcast_to(np.array(values, dtype=np.float32).reshape(column), shape)
    import torch

    return torch.tensor(values, device=device).reshape(column).expand(shape)


def moved(arrays: list[Array | None], device: str) -> list[Array | None]:
    """Arrays where a device computes: in main memory as numpy's, on a GPU as torch's."""
    if device == "cpu":
        return [None if one is None else on_host(one) for one in arrays]
    import torch

    return [None if one is None else torch.as_tensor(one, device=device) for one in arrays]


def kind_of(array: Array) -> Any:
    """The functions for such an array, named as in the Python array API standard (2023.12)."""
    from array_api_compat import array_namespace

    return array_namespace(array)
