"""Windows cover, weights blend to one, and what a network knows comes back unchanged."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from autoseg.errors import OptionError
from autoseg.inference.sliding_window import slide
from autoseg.inference.windows import Windows, gaussian_weights, window_starts


def identity(batch: Tensor) -> Tensor:
    return torch.cat([batch, -2 * batch], dim=1)


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
def test_windows_cover_an_axis_with_at_least_the_overlap(overlap: float) -> None:
    for length, patch in itertools.product(range(1, 60, 3), (1, 2, 5, 8, 17)):
        starts = window_starts(length, patch, overlap)
        assert starts[0] == 0
        assert starts[-1] + patch >= length
        assert length <= patch or starts[-1] + patch == length
        gaps = [b - a for a, b in itertools.pairwise(starts)]
        assert all(0 < gap <= np.ceil(max(1, patch * (1 - overlap))) for gap in gaps)


def test_windows_are_those_of_nnunet() -> None:
    assert window_starts(110, 64, 0.5) == [0, 23, 46]
    assert window_starts(123, 128, 0.5) == [0]
    assert window_starts(100, 40, 0.5) == [0, 20, 40, 60]
    assert window_starts(101, 40, 0.5) == [0, 15, 30, 46, 61]


def test_gaussian_weights_are_symmetric_with_a_positive_rim() -> None:
    weights = gaussian_weights(9)
    assert weights[4] == 1
    np.testing.assert_allclose(weights, weights[::-1])
    assert weights[0] == pytest.approx(np.exp(-0.5 * (4 / (9 / 8)) ** 2))
    assert gaussian_weights(128).min() > 3e-4


@pytest.mark.parametrize("shape", [(9, 11, 13), (4, 4, 4), (3, 21, 5), (1, 1, 1)])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.7])
def test_patches_of_what_is_known_aggregate_to_it(shape: tuple[int, int, int], batch_size: int, overlap: float) -> None:
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    image[0, 0, 0, 0] = 1
    logits = slide(image, identity, Windows((4, 5, 6), overlap, batch_size))
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, np.concatenate([image, -2 * image]), rtol=1e-5, atol=1e-6)


def test_ones_aggregate_to_ones() -> None:
    logits = slide(np.ones((1, 30, 31, 29), np.float32), lambda batch: torch.ones_like(batch), Windows((8, 10, 7)))
    np.testing.assert_allclose(logits, 1, atol=1e-6)


def test_a_small_image_is_padded_with_zeros_around_its_centre() -> None:
    seen = []
    slide(np.ones((1, 3, 8, 4), np.float32), lambda batch: seen.append(batch) or batch, Windows((6, 8, 4)))
    assert [float(batch.sum()) for batch in seen] == [3 * 8 * 4]
    assert seen[0][0, 0, :, 0, 0].tolist() == [0, 1, 1, 1, 0, 0]


def test_the_middle_of_a_window_outweighs_its_rim() -> None:
    def position(batch: Tensor) -> Tensor:
        return torch.arange(batch.shape[-1], dtype=torch.float32).expand(batch.shape).clone()

    line = slide(np.zeros((1, 1, 1, 12), np.float32), position, Windows((1, 1, 8)))[0, 0, 0]
    assert line[0] == pytest.approx(0)
    assert line[11] == pytest.approx(7)
    w = gaussian_weights(8)
    assert line[5] == pytest.approx((5 * w[5] + 1 * w[1]) / (w[5] + w[1]), rel=1e-5)


def test_slices_reach_a_2d_network_in_batches() -> None:
    shapes = []
    image = np.random.default_rng(1).normal(size=(2, 5, 9, 7)).astype(np.float32)
    logits = slide(image, lambda batch: shapes.append(tuple(batch.shape)) or batch, Windows((9, 8), batch_size=2))
    assert shapes == [(2, 2, 9, 8), (2, 2, 9, 8), (1, 2, 9, 8)]
    np.testing.assert_allclose(logits, image)


def test_progress_ends_with_all_windows() -> None:
    told = []
    slide(
        np.zeros((1, 8, 8, 8), np.float32),
        identity,
        Windows((4, 8, 8), batch_size=2),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(2, 3), (3, 3)]


@pytest.mark.parametrize("overlap", [-0.1, 1.0])
def test_an_impossible_overlap_is_refused(overlap: float) -> None:
    with pytest.raises(OptionError, match="overlap must be at least 0 and below 1"):
        Windows((4, 4, 4), overlap)
