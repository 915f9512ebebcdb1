from __future__ import annotations

import pytest
import torch
from small_networks import small_spec

from autoseg.networks import build_network
from autoseg.networks.cost import Cost, convolutions, network_cost


def test_small_network_by_hand() -> None:
    """Levels of 8x8 with 4 channels and 4x4 with 8, one input channel, two logits."""
    norms = 2 * (4 + 4 + 8 + 8 + 4 + 4)
    weights = 9 * (1 * 4 + 4 * 4 + 4 * 8 + 8 * 8 + 8 * 4 + 4 * 4) + 8 * 4 * 4 + (4 * 2 + 2)
    work = 9 * (64 * (1 * 4 + 4 * 4) + 16 * (4 * 8 + 8 * 8) + 64 * (8 * 4 + 4 * 4)) + 64 * 8 * 4 + 64 * 4 * 2
    # image; four maps per pair of convolutions (before and after each normalisation); the concatenation; the logits
    kept = 64 + 4 * 64 * 4 + 4 * 16 * 8 + 64 * (4 + 4) + 4 * 64 * 4 + 64 * 2
    assert network_cost(small_spec(), (8, 8), 1) == Cost(weights + norms, work, 4 * kept)


def test_work_and_memory_grow_with_batch_and_patch() -> None:
    small, large = network_cost(small_spec(), (8, 8), 1), network_cost(small_spec(), (16, 8), 3)
    assert large.multiply_adds == 6 * small.multiply_adds
    assert large.activation_bytes == 6 * small.activation_bytes
    assert large.parameters == small.parameters


@pytest.mark.parametrize("architecture", ["unet", "residual_unet"])
def test_activations_are_what_autograd_keeps(architecture: str) -> None:
    spec = small_spec(architecture, widths=(8, 16, 16), stride=(2, 2, 2), kernel=(3, 3, 3))
    network = build_network(spec).to(memory_format=torch.channels_last_3d)
    image = torch.randn(2, 1, 16, 16, 16).contiguous(memory_format=torch.channels_last_3d)
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network(image)
    kept.update({level.untyped_storage().data_ptr(): level for level in logits})
    measured = sum(tensor.untyped_storage().nbytes() for pointer, tensor in kept.items() if pointer not in weights)
    assert network_cost(spec, (16, 16, 16), 2).activation_bytes == pytest.approx(measured, rel=0.01)


def test_convolutions_in_order() -> None:
    layers = convolutions(small_spec(), (8, 8), 3)
    assert [(layer.in_width, layer.out_width, layer.edges) for layer in layers] == [
        (1, 4, (8, 8)),
        (4, 4, (8, 8)),
        (4, 8, (8, 8)),
        (8, 8, (4, 4)),
        (8, 4, (4, 4)),
        (8, 4, (8, 8)),
        (4, 4, (8, 8)),
        (4, 2, (8, 8)),
    ]
    assert [layer.transposed for layer in layers].index(True) == 4
    assert {layer.batch_size for layer in layers} == {3}


def test_large_network_takes_no_memory() -> None:
    spec = small_spec(widths=(64, 128, 256), stride=(2, 2, 2), kernel=(3, 3, 3))
    assert network_cost(spec, (512, 512, 512), 64).activation_bytes > 1 << 40
