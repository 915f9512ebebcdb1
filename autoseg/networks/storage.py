"""Networks on disk: one safetensors file with the weights, and the spec as JSON in its metadata.

Weights with zeros or on levels are packed where that makes the file smaller (packing.py); the metadata say how, tensor
by tensor. What is loaded is what was saved, exactly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from autoseg.errors import AutosegError, FileError, OptionError
from autoseg.files import atomic_path, to_json
from autoseg.networks import construct_network
from autoseg.networks.levels import Grid
from autoseg.networks.packing import Layout, Packed, pack, unpack
from autoseg.networks.shared import SharedNetwork
from autoseg.networks.stored_file import (
    NETWORK_SCHEMA,
    PACKED_SCHEMA,
    REMEDY,
    StoredFile,
    count_weights,
    read_spec,
    read_stored,
)

__all__ = [
    "StoredNetwork",
    "StoredTensor",
    "count_weights",
    "describe_stored",
    "load_network",
    "load_whole_network",
    "read_spec",
    "save_network",
    "stored_grids",
]

LAYOUT_BYTES = 160
"""What the metadata take per packed tensor: one that saves no more is left as it is."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file. count: of its values. bytes: that it takes. layout: None where it is not packed."""

    name: str
    count: int
    bytes: int
    layout: Layout | None


@dataclass(frozen=True)
class StoredNetwork:
    """What a file holds: file_bytes = header_bytes + the bytes of the tensors."""

    file_bytes: int
    header_bytes: int
    tensors: tuple[StoredTensor, ...]


def save_network(path: Path | str, network: nn.Module, grids: Mapping[str, Grid] | None = None) -> None:
    """Write the weights and the spec of a network, whole or not at all.

    network: as build_network gives it, or a SharedNetwork: of one file load_network makes the network of each organ.
    grids: the levels on which weights lie, by name of the tensor. A tensor is packed where that saves more bytes than
    it takes to say how.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    layouts = {}
    for name, tensor in tensors.items():
        packed = pack(tensor.numpy(), (grids or {}).get(name)) if tensor.dtype == torch.float32 else None
        if packed is not None and packed.layout.bytes + LAYOUT_BYTES < 4 * tensor.numel():
            tensors[name], layouts[name] = torch.from_numpy(packed.data), _short(packed.layout)
    schema = PACKED_SCHEMA if layouts else NETWORK_SCHEMA
    metadata = {"schema": str(schema), "spec": json.dumps(to_json(network.spec))}
    if isinstance(network, SharedNetwork):
        metadata["organs"] = json.dumps(network.organs)
    if layouts:
        metadata["packing"] = json.dumps(layouts, separators=(",", ":"))
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata)


def _short(layout: Layout) -> dict[str, Any]:
    """The layout in JSON without what it has by default."""
    values = to_json(layout)
    return {field.name: values[field.name] for field in fields(layout) if values[field.name] != field.default}


def load_network(path: Path | str, device: str = "cpu", *, organ: str | None = None) -> nn.Module:
    """The network that save_network wrote, in evaluation mode, on a device; the random state is not touched.

    organ: of which, where the file holds a network that organs share; a network that is not shared is for any. Raises
    FileError for a file that is missing, cut short, not a network, or whose weights do not fit its spec, and for a
    shared network without this organ.
    """
    return _loaded(read_stored(path).of_organ(organ), device)


def load_whole_network(path: Path | str, device: str = "cpu") -> nn.Module:
    """As load_network; where organs share it, the SharedNetwork itself."""
    return _loaded(read_stored(path), device)


def _loaded(stored: StoredFile, device: str) -> nn.Module:
    try:
        with torch.device("meta"):
            network = construct_network(stored.spec)
            if stored.organs:
                network = SharedNetwork(network, stored.organs)
        unpacked = {name: _unpacked(stored.tensors, name, one, network) for name, one in stored.layouts.items()}
        tensors = {name: tensor.to(device) for name, tensor in (stored.tensors | unpacked).items()}
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        detail = str(error).splitlines()[-1].strip()
        raise FileError(stored.path, f"its weights do not fit its spec: {detail}", REMEDY) from error
    except AutosegError as error:
        raise FileError(stored.path, error.fact, REMEDY) from error
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return network.eval()


def describe_stored(path: Path | str) -> StoredNetwork:
    """What a file takes, tensor by tensor; errors as in load_network."""
    path = Path(path)
    stored = read_stored(path)
    found = []
    for name, tensor in stored.tensors.items():
        layout = stored.layouts.get(name)
        count = tensor.numel() if layout is None else layout.count
        found.append(StoredTensor(name, count, tensor.numel() * tensor.element_size(), layout))
    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    return StoredNetwork(path.stat().st_size, header, tuple(found))


def stored_grids(path: Path | str) -> dict[str, Grid]:
    """The levels on which weights of a stored network lie, by name of the tensor; errors as in load_network."""
    stored, found = read_stored(path), {}
    for name, layout in stored.layouts.items():
        try:
            grid = Packed(layout, stored.tensors[name].numpy()).grid
        except (AutosegError, KeyError) as error:
            raise FileError(stored.path, f"its packed tensor {name} cannot be read.", REMEDY) from error
        if grid is not None:
            found[name] = grid
    return found


def _unpacked(tensors: Mapping[str, Tensor], name: str, layout: Layout, network: nn.Module) -> Tensor:
    """A packed tensor; OptionError where it is missing, or is not what the layout or the network says."""
    wanted = dict(network.state_dict()).get(name)
    data = tensors.get(name)
    if wanted is None or data is None or tuple(wanted.shape) != layout.shape:
        raise OptionError(f"Its weights do not fit its spec: {name} is packed as {layout.shape}.")
    if data.dtype != torch.uint8 or data.ndim != 1:
        raise OptionError(f"The packed tensor {name} is not a run of bytes.")
    try:
        return torch.from_numpy(unpack(Packed(layout, data.numpy())))
    except OptionError as error:
        raise OptionError(f"{name}: {error.fact}") from error
