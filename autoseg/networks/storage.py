"""Networks on disk: one safetensors file with the weights, and the spec as JSON in its metadata.

Weights with zeros or on levels are packed where that makes the file smaller (packing.py); the metadata say how, tensor
by tensor. What is loaded is what was saved, exactly.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from autoseg.errors import AutosegError, FileError, OptionError
from autoseg.files import atomic_path, from_json, to_json
from autoseg.networks import construct_network
from autoseg.networks.levels import Grid
from autoseg.networks.packing import Layout, Packed, pack, unpack
from autoseg.networks.shared import SharedNetwork, names_of_organ
from autoseg.plans import NetworkSpec

NETWORK_SCHEMA = 1
PACKED_SCHEMA = 2
"""Of a file with a packed tensor, which a version that knows none must refuse."""
REMEDY = "Copy the model again, or train it again."
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
    path = Path(path)
    spec, tensors, layouts = _read_organ(path, organ)
    try:
        with torch.device("meta"):
            network = construct_network(spec)
        tensors |= {name: _unpacked(tensors, name, layout, network) for name, layout in layouts.items()}
        network.load_state_dict({name: tensor.to(device) for name, tensor in tensors.items()}, assign=True)
    except RuntimeError as error:
        detail = str(error).splitlines()[-1].strip()
        raise FileError(path, f"its weights do not fit its spec: {detail}", REMEDY) from error
    except AutosegError as error:
        raise FileError(path, error.fact, REMEDY) from error
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return network.eval()


def read_spec(path: Path | str) -> NetworkSpec:
    """The spec of a stored network, without its weights; errors as in load_network."""
    path = Path(path)
    with _opened(path) as file:
        return _spec(file.metadata(), path)


def count_weights(path: Path | str) -> int:
    """How many values a stored network has, without reading them; errors as in load_network."""
    path = Path(path)
    with _opened(path) as file:
        metadata = file.metadata()
        _spec(metadata, path)
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        shapes |= {name: layout.shape for name, layout in _layouts(metadata, path).items()}
        return sum(math.prod(shape) for shape in shapes.values())


def describe_stored(path: Path | str) -> StoredNetwork:
    """What a file takes, tensor by tensor; errors as in load_network."""
    path = Path(path)
    _, tensors, layouts = _read(path)
    found = []
    for name, tensor in tensors.items():
        layout = layouts.get(name)
        count = tensor.numel() if layout is None else layout.count
        found.append(StoredTensor(name, count, tensor.numel() * tensor.element_size(), layout))
    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    return StoredNetwork(path.stat().st_size, header, tuple(found))


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


def _read(path: Path) -> tuple[NetworkSpec, dict[str, Tensor], dict[str, Layout]]:
    """The spec, the tensors as they lie in the file, and the layouts of those that are packed."""
    with _opened(path) as file:
        metadata = file.metadata()
        spec, layouts = _spec(metadata, path), _layouts(metadata, path)
        return spec, {name: file.get_tensor(name) for name in file.keys()}, layouts  # noqa: SIM118


def _read_organ(path: Path, organ: str | None) -> tuple[NetworkSpec, dict[str, Tensor], dict[str, Layout]]:
    """As _read; of a network that organs share, what is of one organ, under the names of an ordinary network."""
    spec, tensors, layouts = _read(path)
    with _opened(path) as file:
        organs = tuple(json.loads(file.metadata().get("organs", "[]")))
    if not organs:
        return spec, tensors, layouts
    if organ not in organs:
        asked = "no organ was asked for" if organ is None else f"there is no {organ} among them"
        raise FileError(path, f"holds the networks of {', '.join(organs)}, and {asked}.", "Name one of them.")
    wanted = names_of_organ(tensors, organs.index(organ))
    own = {name: layouts[stored] for name, stored in wanted.items() if stored in layouts}
    return spec, {name: tensors[stored] for name, stored in wanted.items()}, own


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError as error:
        raise FileError(path, "does not exist.") from error
    except SafetensorError as error:
        raise FileError(path, f"is not a whole safetensors file ({error}).", REMEDY) from error
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror or error}).") from error


def _spec(metadata: dict[str, str] | None, path: Path) -> NetworkSpec:
    metadata = metadata or {}
    if metadata.get("schema") not in (str(NETWORK_SCHEMA), str(PACKED_SCHEMA)) or "spec" not in metadata:
        raise FileError(path, "holds no network of autoseg.", "Give a model.safetensors out of a results folder.")
    return from_json(NetworkSpec, _parsed(metadata["spec"], "spec", path), path)


def _layouts(metadata: dict[str, str], path: Path) -> dict[str, Layout]:
    values = _parsed(metadata.get("packing", "{}"), "packing", path)
    if not isinstance(values, dict):
        raise FileError(path, "its packing is not an object.", REMEDY)
    return {name: from_json(Layout, layout, path) for name, layout in values.items()}


def _parsed(text: str, what: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError(path, f"its {what} is not valid JSON ({error}).", REMEDY) from error
