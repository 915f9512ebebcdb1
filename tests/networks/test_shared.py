"""Organs that share a network: each is an ordinary one, alone, in a mixed batch, and on disk."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_networks import small_spec

from autoseg.errors import FileError
from autoseg.networks import NETWORKS, build_network
from autoseg.networks.closed_form import shared_parameter_count
from autoseg.networks.shared import SharedNetwork
from autoseg.networks.storage import load_network, read_spec, save_network

ORGANS = ("organ_eye", "organ_stem", "organ_jaw")


def shared(architecture: str = "unet") -> SharedNetwork:
    """In evaluation mode; all that is an organ's own differs."""
    torch.manual_seed(0)
    network = SharedNetwork(build_network(small_spec(architecture, stride=(2, 2, 2), kernel=(3, 3, 3))), ORGANS)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".each." in name:
                parameter.add_(torch.randn_like(parameter))
    return network.eval()


def batch(*numbers: int) -> torch.Tensor:
    """(B, 2, 8, 8, 8): noise, and the numbers."""
    image = torch.randn(len(numbers), 1, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    return torch.cat([image, torch.tensor(numbers).view(-1, 1, 1, 1, 1).expand_as(image).float()], dim=1)


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_every_sample_is_seen_by_the_ordinary_network_of_its_organ(
    architecture: str, memory_format: torch.memory_format
) -> None:
    network, images = shared(architecture), batch(2, 0, 1, 2).contiguous(memory_format=memory_format)
    answers = network(images)
    for number, image, answer in zip((2, 0, 1, 2), images, answers, strict=True):
        own = network.of_organ(ORGANS[number])
        assert type(own) is type(network.trunk)
        torch.testing.assert_close(own(image[None, :1])[0], answer, rtol=1e-4, atol=1e-4)


def test_organs_answer_differently() -> None:
    network, image = shared(), batch(0)[:, :1]
    assert not torch.allclose(network.of_organ(ORGANS[0])(image), network.of_organ(ORGANS[1])(image))


def test_an_organ_that_is_not_in_the_batch_is_not_changed() -> None:
    network = shared().train()
    torch.stack([logits.sum() for logits in network(batch(0, 2))]).sum().backward()
    moved = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    own = {name for name, _ in network.named_parameters() if ".each.1." in name}
    assert moved == {name for name, _ in network.named_parameters()} - own
    assert own


def test_a_copy_has_batches_of_its_own() -> None:
    network = shared()
    again, image = copy.deepcopy(network), batch(1)
    before = network(image)
    again(batch(0, 0))
    torch.testing.assert_close(network(image), before)
    torch.testing.assert_close(again(image), before)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_one_file_holds_what_is_shared_once(architecture: str, tmp_path: Path) -> None:
    path, network = tmp_path / "model.safetensors", shared(architecture)
    save_network(path, network)
    stored = sum(tensor.numel() for tensor in load_file(path).values())
    assert stored == shared_parameter_count(network.spec, len(ORGANS))
    assert read_spec(path) == network.spec
    for number, organ in enumerate(ORGANS):
        loaded = load_network(path, organ=organ)
        assert not loaded.training
        torch.testing.assert_close(loaded(batch(0)[:, :1]), network(batch(number)), rtol=1e-4, atol=1e-4)


def test_a_shared_file_must_be_told_the_organ(tmp_path: Path) -> None:
    save_network(tmp_path / "model.safetensors", shared())
    with pytest.raises(FileError, match=r"networks of organ_eye, organ_stem, organ_jaw, and no organ was asked for"):
        load_network(tmp_path / "model.safetensors")
    with pytest.raises(FileError, match=r"there is no organ_ear among them"):
        load_network(tmp_path / "model.safetensors", organ="organ_ear")


def test_a_network_that_is_not_shared_is_for_any_organ(tmp_path: Path) -> None:
    save_network(tmp_path / "model.safetensors", build_network(small_spec()))
    assert load_network(tmp_path / "model.safetensors", organ="organ_eye").spec == small_spec()
