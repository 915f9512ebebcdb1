from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_networks import small_spec

from autoseg.errors import FileError
from autoseg.networks import build_network
from autoseg.networks.storage import load_network, read_spec, save_network


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_network(tmp_path / "model.safetensors", build_network(small_spec()))
    return tmp_path / "model.safetensors"


def rewritten(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> Path:
    save_file(tensors, path, metadata)
    return path


def metadata_of(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return file.metadata()


def test_loaded_network_answers_the_same(tmp_path: Path) -> None:
    network = build_network(small_spec("residual_unet", widths=(4, 8, 8))).to(memory_format=torch.channels_last).eval()
    save_network(tmp_path / "model.safetensors", network)
    loaded = load_network(tmp_path / "model.safetensors")
    image = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(loaded(image), network(image), rtol=1e-4, atol=1e-5)
    assert loaded.spec == network.spec == read_spec(tmp_path / "model.safetensors")
    assert not loaded.training
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), network.parameters(), strict=True))


def test_loaded_network_can_be_trained(stored: Path) -> None:
    network = load_network(stored).train()
    sum(logits.sum() for logits in network(torch.randn(1, 1, 8, 8))).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_loading_leaves_the_random_state(stored: Path) -> None:
    before = torch.get_rng_state()
    load_network(stored)
    assert torch.equal(torch.get_rng_state(), before)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"model.safetensors: does not exist"):
        load_network(tmp_path / "model.safetensors")


@pytest.mark.parametrize("length", [0, 5, 100, -10])
def test_file_that_was_cut_short(stored: Path, length: int) -> None:
    stored.write_bytes(stored.read_bytes()[:length])
    with pytest.raises(FileError, match="is not a whole safetensors file"):
        load_network(stored)


def test_file_of_another_kind(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "model.pt")
    with pytest.raises(FileError, match="is not a whole safetensors file"):
        load_network(tmp_path / "model.pt")


def test_safetensors_of_someone_else(tmp_path: Path) -> None:
    path = rewritten(tmp_path / "other.safetensors", {"a": torch.zeros(3)}, {})
    with pytest.raises(FileError, match="holds no network of autoseg"):
        load_network(path)


def test_missing_and_wrong_weights(stored: Path) -> None:
    tensors, metadata = load_file(stored), metadata_of(stored)
    fewer = {name: tensor for name, tensor in tensors.items() if "heads" not in name}
    with pytest.raises(FileError, match=r"do not fit its spec.*heads"):
        load_network(rewritten(stored, fewer, metadata))
    name = next(iter(tensors))
    with pytest.raises(FileError, match=r"do not fit its spec.*shape"):
        load_network(rewritten(stored, {**tensors, name: torch.zeros(3)}, metadata))


def test_spec_that_was_edited(stored: Path) -> None:
    tensors, metadata = load_file(stored), metadata_of(stored)
    broken = {**metadata, "spec": metadata["spec"].replace("kernel", "kernels")}
    with pytest.raises(FileError, match="unknown key 'kernels'"):
        load_network(rewritten(stored, tensors, broken))
    with pytest.raises(FileError, match="is not valid JSON"):
        load_network(rewritten(stored, tensors, {**metadata, "spec": metadata["spec"][:-5]}))
    foreign = {**metadata, "spec": metadata["spec"].replace("unet", "os")}
    with pytest.raises(FileError, match="no network 'os'"):
        load_network(rewritten(stored, tensors, foreign))


def test_saving_again_replaces_whole(stored: Path) -> None:
    network = build_network(replace(small_spec(), out_channels=5))
    save_network(stored, network)
    assert read_spec(stored).out_channels == 5
    assert [path.name for path in stored.parent.iterdir()] == ["model.safetensors"]
