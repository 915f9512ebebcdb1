from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from autoseg.networks import construct_network
from autoseg.networks.liveness import inference_values
from autoseg.plans import LevelSpec, NetworkSpec


class _Alive(TorchDispatchMode):
    """Counts the values of tensors that exist. now: at this moment; most: at once so far."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._owners: dict[int, int] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes() // tensor.element_size()
        if key not in self._owners:
            self.now += size
            self.most = max(self.most, self.now)
        self._owners[key] = self._owners.get(key, 0) + 1
        weakref.finalize(tensor, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._owners[key] -= 1
        if not self._owners[key]:
            del self._owners[key]
            self.now -= size


def walked(spec: NetworkSpec, patch_size: tuple[int, ...], batch_size: int) -> int:
    """The most values that torch itself holds at once in a pass where nothing is calculated."""
    with torch.device("meta"), torch.no_grad(), _Alive() as alive:
        network = construct_network(spec).eval()
        weights = alive.now
        network(torch.empty(batch_size, spec.in_channels, *patch_size))
    return alive.most - weights


def spec_of(widths: tuple[int, ...], *, blocks: int = 2, residual: bool = False, **named: Any) -> NetworkSpec:
    last, dimensions = len(widths) - 1, named.get("dimensions", 3)
    levels = [
        LevelSpec(
            stride=(2 if number else 1,) * dimensions,
            kernel=(3,) * dimensions,
            encoder_widths=(width,) * blocks,
            inner_widths=(width // 2,) * blocks if residual else (),
            upsampled_width=width if number < last else None,
            decoder_widths=(width,) * blocks if number < last else (),
        )
        for number, width in enumerate(widths)
    ]
    architecture = "residual_unet" if residual else "unet"
    return NetworkSpec(architecture, dimensions, named.get("inputs", 1), named.get("outputs", 3), tuple(levels))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize(
    ("widths", "patch_size", "named"),
    [
        ((32, 64, 128), (16, 24, 16), {}),
        ((8, 64, 128), (16, 16, 16), {"inputs": 5}),  # the largest maps lie deep
        ((8, 8), (16, 16, 16), {"outputs": 117}),  # the logits are the largest
        ((16,), (8, 8, 8), {}),
        ((32, 64), (64, 64), {"dimensions": 2}),
    ],
)
def test_equals_what_torch_holds_but_for_vectors(
    widths: tuple[int, ...], patch_size: tuple[int, ...], named: dict[str, Any], *, blocks: int, residual: bool
) -> None:
    spec = spec_of(widths, blocks=blocks, residual=residual, **named)
    for batch_size in (1, 2):
        expected = walked(spec, patch_size, batch_size)
        vectors = 8 * batch_size * max(widths)  # means and deviations of a normalisation
        assert expected - vectors <= inference_values(spec, patch_size, batch_size) <= expected
