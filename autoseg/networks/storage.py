"""Networks on disk: one safetensors file with the weights, and the spec as JSON in its metadata."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from autoseg.errors import AutosegError, FileError
from autoseg.files import atomic_path, from_json, to_json
from autoseg.networks import construct_network
from autoseg.networks.shared import SharedNetwork, names_of_organ
from autoseg.plans import NetworkSpec

NETWORK_SCHEMA = 1
REMEDY = "Copy the model again, or train it again."


def save_network(path: Path | str, network: nn.Module) -> None:
    """Write the weights and the spec of a network, whole or not at all.

    network: as build_network gives it, or a SharedNetwork: of one file load_network makes the network of each organ.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    metadata = {"schema": str(NETWORK_SCHEMA), "spec": json.dumps(to_json(network.spec))}
    if isinstance(network, SharedNetwork):
        metadata["organs"] = json.dumps(network.organs)
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata)


def load_network(path: Path | str, device: str = "cpu", *, organ: str | None = None) -> nn.Module:
    """The network that save_network wrote, in evaluation mode, on a device; the random state is not touched.

    organ: of which, where the file holds a network that organs share; a network that is not shared is for any. Raises
    FileError for a file that is missing, cut short, not a network, or whose weights do not fit its spec, and for a
    shared network without this organ.
    """
    path = Path(path)
    spec, tensors = _read(path, device, organ)
    try:
        with torch.device("meta"):
            network = construct_network(spec)
        network.load_state_dict(tensors, assign=True)
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
    with _opened(path, "cpu") as file:
        return _spec(file.metadata(), path)


def count_weights(path: Path | str) -> int:
    """How many values a stored network has, without reading them; errors as in load_network."""
    path = Path(path)
    with _opened(path, "cpu") as file:
        _spec(file.metadata(), path)
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def _read(path: Path, device: str, organ: str | None) -> tuple[NetworkSpec, dict[str, Tensor]]:
    with _opened(path, device) as file:
        spec, organs, stored = _spec(file.metadata(), path), _organs(file.metadata()), list(file.keys())
        if organs and organ not in organs:
            asked = "no organ was asked for" if organ is None else f"there is no {organ} among them"
            raise FileError(path, f"holds the networks of {', '.join(organs)}, and {asked}.", "Name one of them.")
        wanted = names_of_organ(stored, organs.index(organ)) if organ in organs else {name: name for name in stored}
        return spec, {name: file.get_tensor(source) for name, source in wanted.items()}


def _organs(metadata: dict[str, str]) -> tuple[str, ...]:
    return tuple(json.loads(metadata.get("organs", "[]")))


def _opened(path: Path, device: str) -> Any:
    try:
        return safe_open(path, framework="pt", device=device)
    except FileNotFoundError as error:
        raise FileError(path, "does not exist.") from error
    except SafetensorError as error:
        raise FileError(path, f"is not a whole safetensors file ({error}).", REMEDY) from error
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror or error}).") from error


def _spec(metadata: dict[str, str] | None, path: Path) -> NetworkSpec:
    metadata = metadata or {}
    if metadata.get("schema") != str(NETWORK_SCHEMA) or "spec" not in metadata:
        raise FileError(path, "holds no network of autoseg.", "Give a model.safetensors out of a results folder.")
    try:
        values = json.loads(metadata["spec"])
    except json.JSONDecodeError as error:
        raise FileError(path, f"its spec is not valid JSON ({error}).", REMEDY) from error
    return from_json(NetworkSpec, values, path)
