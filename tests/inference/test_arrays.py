"""The same sums from numpy's arrays and torch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoseg.inference.arrays import add_weighted, beside, moved, on_host, repeated


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(("sums_in", "window_in"), [("numpy", "numpy"), ("numpy", "torch"), ("torch", "numpy")])
def test_a_window_is_added_wherever_it_lies(sums_in: str, window_in: str, weighted: bool) -> None:
    generator = np.random.default_rng(0)
    sums, window = (generator.normal(size=(3, 4, 5, 6)).astype(np.float32) for _ in range(2))
    weights = generator.random((4, 1, 6)).astype(np.float32) if weighted else None
    expected = window if weights is None else sums + window * weights
    into = sums.copy() if sums_in == "numpy" else torch.from_numpy(sums.copy())
    added = window if window_in == "numpy" else torch.from_numpy(window)
    add_weighted(into, added, weights)
    np.testing.assert_allclose(on_host(into), expected, rtol=1e-6, atol=1e-6)
    assert isinstance(into, np.ndarray) == (sums_in == "numpy")


def test_half_precision_becomes_float32_on_the_host() -> None:
    found = on_host(torch.full((2, 2), 0.5, dtype=torch.bfloat16))
    assert found.dtype == np.float32
    assert found.tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_arrays_follow_each_other() -> None:
    array, tensor = np.ones((2, 3), np.float32)[::-1], torch.zeros(1)
    assert isinstance(beside(array, tensor), torch.Tensor)
    assert beside(array, array) is array
    assert moved([None, array], "cpu")[1] is array


def test_windows_that_say_the_same_take_no_memory() -> None:
    found = repeated((7.0, -7.0), 3, (4, 5, 6), "cpu")
    assert found.shape == (3, 2, 4, 5, 6)
    assert found.strides[2:] == (0, 0, 0)
    assert (found[:, 0] == 7).all()
    assert (found[:, 1] == -7).all()
