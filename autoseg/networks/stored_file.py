"""What lies in the file of a network: its spec, the organs that share it, tensors, and how those are packed."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from autoseg.errors import FileError
from autoseg.files import from_json
from autoseg.networks.packing import Layout
from autoseg.networks.shared_names import names_of_organ
from autoseg.plans import NetworkSpec

if TYPE_CHECKING:
    from torch import Tensor

NETWORK_SCHEMA = 1
PACKED_SCHEMA = 2
"""Of a file with a packed tensor, which a version that knows none must refuse."""
REMEDY = "Copy the model again, or train it again."


@dataclass(frozen=True, eq=False)
class StoredFile:
    """spec: of the network of one organ, where organs share it. tensors: as they lie there, by name. layouts: of those
    that are packed."""

    path: Path
    spec: NetworkSpec
    organs: tuple[str, ...]
    tensors: dict[str, Tensor]
    layouts: dict[str, Layout]

    def of_organ(self, organ: str | None) -> StoredFile:
        """The ordinary network of one organ; of a file that is not shared, the only one there is.

        FileError where organs share it and this is none of them.
        """
        if not self.organs:
            return self
        if organ not in self.organs:
            asked = "no organ was asked for" if organ is None else f"there is no {organ} among them"
            fact = f"holds the networks of {', '.join(self.organs)}, and {asked}."
            raise FileError(self.path, fact, "Name one of them.")
        names = names_of_organ(dict.fromkeys([*self.tensors, *self.layouts]), self.organs.index(organ))
        tensors = {name: self.tensors[stored] for name, stored in names.items() if stored in self.tensors}
        layouts = {name: self.layouts[stored] for name, stored in names.items() if stored in self.layouts}
        return replace(self, organs=(), tensors=tensors, layouts=layouts)


def read_stored(path: Path | str) -> StoredFile:
    """Read a file; FileError for one that is missing, cut short, or not a network."""
    path = Path(path)
    with _opened(path, framework="pt") as file:
        metadata = file.metadata()
        spec, layouts = _spec(metadata, path), _layouts(metadata, path)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return StoredFile(path, spec, _organs(metadata, path), tensors, layouts)


def read_spec(path: Path | str) -> NetworkSpec:
    """The spec of a stored network, without its weights; errors as in read_stored."""
    path = Path(path)
    with _opened(path) as file:
        return _spec(file.metadata(), path)


def count_weights(path: Path | str) -> int:
    """How many values a stored network has, zeros among them, without reading them; errors as in read_stored."""
    path = Path(path)
    with _opened(path) as file:
        metadata = file.metadata()
        _spec(metadata, path)
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        shapes |= {name: layout.shape for name, layout in _layouts(metadata, path).items()}
        return sum(math.prod(shape) for shape in shapes.values())


def _opened(path: Path, *, framework: str = "np") -> Any:
    """framework: of the tensors; what is read without them needs no torch."""
    try:
        return safe_open(path, framework=framework)
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


def _organs(metadata: dict[str, str], path: Path) -> tuple[str, ...]:
    return tuple(_parsed(metadata.get("organs", "[]"), "list of organs", path))


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
