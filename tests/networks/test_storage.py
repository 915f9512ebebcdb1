from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_networks import small_spec

from autoseg.errors import FileError
from autoseg.networks import build_network
from autoseg.networks.levels import Grid
from autoseg.networks.storage import describe_stored, load_network, read_spec, save_network


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


def packed_network(path: Path, levels: int = 7) -> torch.nn.Module:
    """A network of which every convolution has zeros and levels, stored."""
    torch.manual_seed(0)
    network, grids = build_network(small_spec(widths=(16, 24))), {}
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim > 2:
                weight[weight.abs() < 0.1] = 0
                grids[name] = Grid(levels, np.array([weight.abs().max()], np.float32))
                weight.copy_(torch.where(weight == 0, 0, torch.from_numpy(grids[name].rounded(weight.numpy()))))
    save_network(path, network, grids)
    return network


def test_packed_network_is_loaded_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    network = packed_network(path)
    loaded = load_network(path)
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), network.parameters(), strict=True))
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert read_spec(path) == network.spec


def test_a_file_is_as_large_as_its_header_and_the_formula_say(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    network = packed_network(path)
    stored = describe_stored(path)
    assert path.stat().st_size == stored.file_bytes == stored.header_bytes + sum(one.bytes for one in stored.tensors)
    assert all(one.layout.bytes == one.bytes for one in stored.tensors if one.layout)
    plain = 4 * sum(parameter.numel() for parameter in network.parameters())
    assert stored.file_bytes - stored.header_bytes < plain / 6
    assert sum(one.count for one in stored.tensors) == plain / 4


def test_a_network_without_zeros_or_levels_is_stored_plainly(stored: Path) -> None:
    assert metadata_of(stored)["schema"] == "1"
    assert all(one.layout is None for one in describe_stored(stored).tensors)


def test_packing_that_was_edited(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    packed_network(path)
    tensors, metadata = load_file(path), metadata_of(path)
    name = next(name for name, tensor in tensors.items() if tensor.dtype == torch.uint8)
    with pytest.raises(FileError, match="do not fit its spec"):
        load_network(rewritten(path, tensors, {**metadata, "packing": "{}"}))
    with pytest.raises(FileError, match="packing is not valid JSON"):
        load_network(rewritten(path, tensors, {**metadata, "packing": "{"}))
    with pytest.raises(FileError, match="unknown key 'ranged'"):
        load_network(rewritten(path, tensors, {**metadata, "packing": metadata["packing"].replace("ranges", "ranged")}))
    with pytest.raises(FileError, match=rf"{name}: A packed tensor has"):
        load_network(rewritten(path, {**tensors, name: tensors[name][:-1].clone()}, metadata))
    with pytest.raises(FileError, match="is not a run of bytes"):
        load_network(rewritten(path, {**tensors, name: torch.zeros(3)}, metadata))
    elsewhere = {**metadata, "packing": metadata["packing"].replace(name, "decoder.nothing")}
    with pytest.raises(FileError, match=r"decoder.nothing is packed"):
        load_network(rewritten(path, tensors, elsewhere))
