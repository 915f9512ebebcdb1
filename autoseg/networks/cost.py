"""What a network costs in memory and work, computed by walking it on the meta device, where nothing is calculated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
