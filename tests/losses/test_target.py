from __future__ import annotations

import pytest
import torch

from autoseg.losses.target import Target


def target_of(labels: torch.Tensor) -> Target:
    return Target(labels, torch.ones(len(labels), 1, dtype=torch.bool))


def test_halving_takes_the_voxel_after_the_middle() -> None:
    assert target_of(torch.arange(8)[None]).at((4,)).labels.tolist() == [[1, 3, 5, 7]]


def test_quartering_takes_the_voxel_after_the_middle() -> None:
    assert target_of(torch.arange(8)[None]).at((2,)).labels.tolist() == [[2, 6]]


def test_uneven_step_takes_the_nearest_voxel() -> None:
    assert target_of(torch.arange(5)[None]).at((3,)).labels.tolist() == [[0, 2, 4]]


@pytest.mark.parametrize("shape", [(4, 3, 7), (2, 6, 7), (3, 4, 5)])
def test_equals_torch_nearest_exact(shape: tuple[int, ...]) -> None:
    labels = torch.randint(0, 5, (2, 8, 6, 7), generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(labels[:, None].double(), shape, mode="nearest-exact")[:, 0].long()
    assert torch.equal(target_of(labels).at(shape).labels, expected)


def test_same_shape_is_the_same_target() -> None:
    target = target_of(torch.zeros(1, 4, 4, dtype=torch.int64))
    assert target.at((4, 4)) is target


def test_what_was_contoured_is_kept() -> None:
    target = Target(torch.zeros(2, 4, dtype=torch.int64), torch.tensor([[True], [False]]))
    assert target.at((2,)).contoured.tolist() == [[True], [False]]
