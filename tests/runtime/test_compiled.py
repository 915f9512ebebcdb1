"""A compiled network gives what the network gives, and a compiler that fails costs no more than a warning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autoseg.networks import build_network
from autoseg.runtime.compiled import COMPILE_SECONDS, CompiledNetwork, compiling_pays
from autoseg.runtime.speed import probe_spec


def failing(call: Callable[[Tensor], Any]) -> Callable[[nn.Module], Any]:
    return lambda network: call


def refuse(image: Tensor) -> Tensor:
    raise RuntimeError("no compiler found\nand many lines more")


def test_a_failing_compiler_is_told_once_and_given_up(caplog: pytest.LogCaptureFixture) -> None:
    network = nn.Linear(3, 2)
    compiled = CompiledNetwork(network, failing(refuse))
    image = torch.ones(1, 3)
    for _ in range(2):
        torch.testing.assert_close(compiled(image), network(image))
    assert [record.message for record in caplog.records] == [
        "torch.compile failed (no compiler found); the network is computed without."
    ]


def test_a_backward_pass_that_cannot_be_compiled_is_met_in_the_first_call(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(context: Any, *gradients: Tensor) -> Tensor:
            raise RuntimeError("no backward pass")

    network = nn.Linear(3, 2)
    compiled = CompiledNetwork(network, lambda module: lambda x: [Broken.apply(module(x))])
    compiled(torch.ones(1, 3)).sum().backward()
    assert network.weight.grad is not None
    assert "no backward pass" in caplog.text


def test_the_rehearsal_leaves_no_gradients() -> None:
    network = nn.Linear(3, 2)
    CompiledNetwork(network, lambda module: module)(torch.ones(1, 3))
    assert network.weight.grad is None


def test_too_little_memory_gives_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def once_too_large(image: Tensor) -> Tensor:
        calls.append(len(image))
        if len(image) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return image

    compiled = CompiledNetwork(nn.Linear(3, 2), failing(once_too_large))
    with torch.no_grad():
        with pytest.raises(torch.OutOfMemoryError):
            compiled(torch.ones(2, 3))
        compiled(torch.ones(1, 3))
    assert calls == [2, 1]
    assert not caplog.records


def test_torch_can_follow_our_networks() -> None:
    """In one graph, without generating code, which would take a minute."""
    network = build_network(probe_spec())
    compiled = CompiledNetwork(network, lambda module: torch.compile(module, backend="eager", fullgraph=True))
    image = torch.randn(1, 1, 16, 16, 16)
    for found, expected in zip(compiled(image), network(image), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_only_long_work_is_worth_compiling() -> None:
    assert not compiling_pays(COMPILE_SECONDS)
    assert compiling_pays(100 * COMPILE_SECONDS)


def test_a_compiled_network_agrees_on_a_gpu(cuda: str) -> None:
    network = build_network(probe_spec()).to(cuda, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    image = torch.randn(2, 1, 32, 32, 32, device=cuda).contiguous(memory_format=torch.channels_last_3d)
    compiled = CompiledNetwork(network)
    for found, expected in zip(compiled(image), network(image), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)
    torch.stack([level.float().mean() for level in compiled(image)]).sum().backward()
