"""Whether bf16 convolutions are right and fast on this CPU, for given layers: run as a process of its own.

python -m autoseg.runtime.bf16_probe reads a ProbeRequest as JSON and writes a ProbeAnswer. It may give wrong answers'
errors, and it may crash: with some shapes the kernels do (documentation/decisions/0021-bf16-on-the-cpu.md).
"""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autoseg.files import from_json, to_json
from autoseg.networks.cost import LayerShape
from autoseg.plans import Ints, NetworkSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

TIMED_STEPS = 2


@dataclass(frozen=True)
class ProbeRequest:
    """What is to be tried: each layer for its correctness, and a training step of the network for its speed."""

    layers: tuple[LayerShape, ...]
    threads: int
    network: NetworkSpec | None = None
    patch_size: Ints = ()
    batch_size: int = 1


@dataclass(frozen=True)
class ProbeAnswer:
    """errors: of each layer, relative to fp32, the worst of result and gradients; None where not finite.

    seconds: of a training step in fp32 and in bf16; empty where no network was given.
    """

    errors: tuple[float | None, ...]
    seconds: tuple[float, ...] = ()


def answer(request: ProbeRequest) -> ProbeAnswer:
    """Try everything that is asked for, in this process."""
    import torch

    torch.set_num_threads(request.threads)
    errors = tuple(layer_error(layer) for layer in request.layers)
    if request.network is None:
        return ProbeAnswer(errors)
    seconds = tuple(
        step_seconds(request.network, (request.batch_size, *request.patch_size), bf16=bf16) for bf16 in (False, True)
    )
    return ProbeAnswer(errors, seconds)


def layer_error(layer: LayerShape) -> float | None:
    """The largest norm of bf16 minus fp32, relative to fp32's, over result, input and weight gradient."""
    import torch

    torch.manual_seed(0)
    module = _module(layer)
    x = torch.randn(layer.batch_size, layer.in_width, *layer.edges)
    exact = _results(module, x, bf16=False)
    errors = [
        float((found - wanted).norm() / wanted.norm().clamp_min(1e-12))
        for found, wanted in zip(_results(module, x, bf16=True), exact, strict=True)
    ]
    return max(errors) if all(math.isfinite(error) for error in errors) else None


def _module(layer: LayerShape) -> nn.Module:
    from autoseg.networks.blocks import CONVOLUTIONS, TRANSPOSED
    from autoseg.networks.normalization import CHANNELS_LAST

    dimensions = len(layer.edges)
    kind = (TRANSPOSED if layer.transposed else CONVOLUTIONS)[dimensions]
    padding = 0 if layer.transposed else tuple(edge // 2 for edge in layer.kernel)
    module = kind(layer.in_width, layer.out_width, layer.kernel, layer.stride, padding, bias=layer.bias)
    return module.to(memory_format=CHANNELS_LAST[dimensions + 2])


def _results(module: nn.Module, x: Tensor, *, bf16: bool) -> list[Tensor]:
    """The result, and the gradients of the input and the weight under a fixed gradient of the result."""
    import torch

    from autoseg.networks.normalization import CHANNELS_LAST

    x = x.contiguous(memory_format=CHANNELS_LAST[x.ndim]).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        y = module(x)
    direction = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    gradients = torch.autograd.grad(y, [x, *module.parameters()], direction)
    return [tensor.detach().float() for tensor in (y, *gradients[:2])]


def step_seconds(spec: NetworkSpec, batch_shape: Ints, *, bf16: bool) -> float:
    """Seconds of a forward and backward pass in training, the fastest of two after one to warm up."""
    import torch

    from autoseg.networks import build_network
    from autoseg.networks.normalization import CHANNELS_LAST

    kind: Any = CHANNELS_LAST[len(batch_shape) + 1]
    network: Any = build_network(spec)
    network.to(memory_format=kind)
    image = torch.randn(batch_shape[0], spec.in_channels, *batch_shape[1:]).contiguous(memory_format=kind)
    seconds = []
    for _ in range(1 + TIMED_STEPS):
        started = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            outputs = network(image)
        torch.stack([logits.float().square().mean() for logits in outputs]).sum().backward()
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def main() -> None:
    """Answer the request on standard input on standard output."""
    request = from_json(ProbeRequest, json.load(sys.stdin), "standard input")
    json.dump(to_json(answer(request)), sys.stdout)


if __name__ == "__main__":
    main()
