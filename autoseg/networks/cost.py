"""What a network costs in memory and work, computed by walking it on the meta device, where nothing is calculated."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from autoseg.networks import construct_network
from autoseg.networks.blocks import CONVOLUTIONS, TRANSPOSED
from autoseg.plans import Ints, NetworkSpec

BYTES_PER_VALUE = 4


@dataclass(frozen=True)
class Cost:
    """The cost of one training step.

    parameters: weights. multiply_adds: of the convolutions of one forward pass over the batch; a training step takes
    three times as many. activation_bytes: what is kept for the backward pass, in fp32; bf16 and fp16 take half.
    """

    parameters: int
    multiply_adds: int
    activation_bytes: int


@dataclass(frozen=True)
class LayerShape:
    """A convolution as it is met during a forward pass: input is (B, in_width, *edges)."""

    transposed: bool
    batch_size: int
    in_width: int
    out_width: int
    edges: Ints
    kernel: Ints
    stride: Ints
    bias: bool

    @property
    def multiply_adds(self) -> int:
        """Of one forward pass; every input voxel, or for a transposed convolution every output voxel, is met once."""
        edges = self.edges
        if not self.transposed:
            edges = tuple(math.ceil(edge / step) for edge, step in zip(edges, self.stride, strict=True))
        return self.batch_size * self.in_width * self.out_width * math.prod(edges) * math.prod(self.kernel)


def network_cost(spec: NetworkSpec, patch_size: Sequence[int], batch_size: int) -> Cost:
    """The cost of training a network on batches of patches; edges must be multiples of spec.divisor."""
    walk = Walk(spec, patch_size, batch_size)
    return Cost(
        parameters=sum(parameter.numel() for parameter in walk.network.parameters()),
        multiply_adds=sum(layer.multiply_adds for layer in walk.layers),
        activation_bytes=BYTES_PER_VALUE * sum(tensor.numel() for tensor in walk.kept.values()),
    )


def convolutions(spec: NetworkSpec, patch_size: Sequence[int], batch_size: int) -> list[LayerShape]:
    """Every convolution of a forward pass in training mode, in the order in which they are met."""
    return Walk(spec, patch_size, batch_size).layers


@lru_cache(maxsize=64)
def inference_values(spec: NetworkSpec, patch_size: Ints, batch_size: int) -> int:
    """The most values that are alive at once in a forward pass without gradients, input and logits included.

    Between two convolutions several maps are alive, one of them twice as wide: where a library computes a convolution
    in a layout of its own, its input and output are alive in both, which is not counted here.
    """
    with torch.device("meta"), torch.no_grad(), _Alive() as alive:
        network = construct_network(spec).eval()
        weights = alive.now
        network(torch.empty(batch_size, spec.in_channels, *patch_size))
    return alive.most - weights


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


class Walk:
    """One forward pass on the meta device, watched.

    layers: the convolutions. kept: the tensors that the backward pass needs, once each: the inputs of convolutions,
    normalisations and poolings (activations are in place, and what they leave is the next convolution's input), and the
    logits, of which the loss takes the gradient.
    """

    def __init__(self, spec: NetworkSpec, patch_size: Sequence[int], batch_size: int) -> None:
        self.layers: list[LayerShape] = []
        self.kept: dict[int, Tensor] = {}
        with torch.device("meta"):
            self.network = construct_network(spec).train()
            image = torch.empty(batch_size, spec.in_channels, *patch_size)
        for module in self.network.modules():
            if not list(module.children()):
                module.register_forward_hook(self._watch)
        with torch.no_grad():
            for logits in self.network(image):
                self._keep(logits)

    def _watch(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0]
        if list(module.parameters(recurse=False)) or x.shape != output.shape:
            self._keep(x)
        transposed = isinstance(module, tuple(TRANSPOSED.values()))
        if transposed or isinstance(module, tuple(CONVOLUTIONS.values())):
            self.layers.append(layer_shape(module, x, transposed=transposed))

    def _keep(self, tensor: Tensor) -> None:
        self.kept[tensor.untyped_storage()._cdata] = tensor


def layer_shape(module: nn.Module, x: Tensor, *, transposed: bool) -> LayerShape:
    """A convolution and the input it is given, as a value."""
    kind: nn.Conv3d = module  # type: ignore[assignment]
    return LayerShape(
        transposed,
        x.shape[0],
        kind.in_channels,
        kind.out_channels,
        edges=tuple(x.shape[2:]),
        kernel=tuple(kind.kernel_size),
        stride=tuple(kind.stride),
        bias=kind.bias is not None,
    )
