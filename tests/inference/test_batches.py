"""How many windows a GPU computes at a time, by its free memory."""

from __future__ import annotations

import pytest

from autoseg.inference import batches
from autoseg.inference.batches import GPU_SHARE, gpu_batch_size, pass_bytes, usual_batch_size
from autoseg.plans import LevelSpec, NetworkSpec, StagePlan

GIBIBYTE = 1 << 30


def stage(*patch_size: int) -> StagePlan:
    dimensions = len(patch_size)
    ones, twos, threes = (1,) * dimensions, (2,) * dimensions, (3,) * dimensions
    levels = (LevelSpec(ones, threes, (32,), (), 32, (32,)), LevelSpec(twos, threes, (64,)))
    network = NetworkSpec("unet", dimensions, 1, 3, levels)
    return StagePlan("s", (1.0,) * dimensions, (100.0,) * dimensions, patch_size, 2, network, False)


def test_a_batch_takes_its_share_and_the_next_larger_one_would_take_more() -> None:
    one = stage(64, 64, 64)
    for free in (GIBIBYTE, 2 * GIBIBYTE, 6 * GIBIBYTE):
        found = gpu_batch_size(one, free)
        assert pass_bytes(one, found) <= GPU_SHARE * free
        assert pass_bytes(one, 2 * found) > GPU_SHARE * free


def test_only_half_precision_halves_the_maps() -> None:
    fp32, bf16, int8 = (pass_bytes(stage(64, 64, 64), 1, precision=name) for name in ("fp32", "bf16", "int8"))
    assert bf16 < fp32 == int8


@pytest.mark.parametrize(
    ("patch", "free", "expected"),
    [((128, 128, 128), 80 * GIBIBYTE, 4), ((128, 128, 128), 1, 1), ((512, 512), 80 * GIBIBYTE, 32)],
)
def test_a_batch_is_no_larger_than_fills_a_gpu_and_never_empty(
    patch: tuple[int, ...], free: int, expected: int
) -> None:
    assert gpu_batch_size(stage(*patch), free) == expected


def test_the_free_memory_of_the_gpu_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(batches, "free_memory_bytes", lambda device: asked.append(device) or GIBIBYTE)
    assert usual_batch_size(stage(32, 32, 32), "cuda:1") == gpu_batch_size(stage(32, 32, 32), GIBIBYTE)
    assert asked == ["cuda:1"]
    assert usual_batch_size(stage(32, 32, 32), "cpu") == 2
    assert usual_batch_size(stage(256, 256), "cpu") == 2
    assert asked == ["cuda:1"]


def test_the_free_memory_of_a_gpu_is_known(cuda: str) -> None:
    assert usual_batch_size(stage(32, 32, 32), cuda) > 1
