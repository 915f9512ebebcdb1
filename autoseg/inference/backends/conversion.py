"""Networks in the formats of other engines, kept on disk: run as a process of its own, so that torch is in that alone.

python -m autoseg.inference.backends.conversion reads a ConversionRequest as JSON and writes the file that it names.
What is kept is known by the checksum of the weights; what was not used for longest goes, where all of it is too much.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.files import atomic_path, checksum, checksum_of, from_json
from autoseg.inference.backends import installed_version
from autoseg.inference.backends.network_file import NetworkFile
from autoseg.inference.backends.probe_memory import converting_bytes
from autoseg.networks import NETWORKS
from autoseg.plans import Ints
from autoseg.runtime.cache import cache_folder
from autoseg.runtime.child import ChildError, answer_of

if TYPE_CHECKING:
    from torch import nn

CONVERSION_SCHEMA = 1
"""Higher where the same weights are converted in another way."""
OPENVINO, ONNX = "openvino", "onnx"
ENDINGS = {OPENVINO: (".xml", ".bin"), ONNX: (".onnx",)}
"""By format, those of its files; the first is the one that is opened."""
MOST_BYTES = 4 << 30
"""Of all networks that are kept, but for those that the process at work uses."""
CONVERT = ("-m", "autoseg.inference.backends.conversion")
TIMEOUT_SECONDS = 300.0
MOST_CHILDREN = 4
"""Networks that processes of their own convert for this one; it takes torch in for more of them."""
LOG = logging.getLogger(__name__)
_used: set[str] = set()
"""Names of what this process asked for."""


@dataclass(frozen=True)
class ConversionRequest:
    """weights: a network's file. organ: of those that share it, which. file: to be written, with what belongs to it."""

    weights: str
    organ: str | None
    kind: str
    patch_size: Ints
    file: str


@dataclass(frozen=True)
class ConversionAnswer:
    """Told when the file is written."""

    file: str


def converted_file(
    network: NetworkFile, kind: str, patch_size: Ints, *, memory_bytes: int | None = None
) -> Path | None:
    """The file of a stored network in another format; made now where none is kept.

    patch_size: of the windows that it will see; empty for a format that takes any. memory_bytes: that this process may
    hold, with the one that converts; None for no bound. None where it cannot be made or kept: whoever asks has the
    network itself.
    """
    if network.spec.architecture not in NETWORKS:
        return None  # somebody's own: the same weights may come to mean something else
    path = kept_networks() / f"{_key(network, kind, patch_size)}{ENDINGS[kind][0]}"
    try:
        if not _is_there(path, kind):
            request = ConversionRequest(str(network.path), network.organ, kind, patch_size, str(path))
            _make(network, request, memory_bytes)
            forget_oldest(path.parent, spared={*_used, path.stem})
    except (ChildError, OSError) as error:
        LOG.debug("A network was not converted beforehand: %s", error)
    _used.add(path.stem)
    _touch(path)
    return path if _is_there(path, kind) else None


def _make(network: NetworkFile, request: ConversionRequest, memory_bytes: int | None) -> None:
    """By a process of its own, which takes seconds to start: of many networks, or in a process with torch, here.

    Also where memory is too little for both: what this process holds is known when volumes are read.
    """
    path = Path(request.file)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path.parent} cannot be written.")
    if not _used:
        LOG.info("Converting networks for %s; they are kept in %s ...", request.kind, path.parent)
    is_tight = memory_bytes is not None and converting_bytes(network.spec) > memory_bytes
    if "torch" in sys.modules or is_tight or len(_used) >= MOST_CHILDREN:
        convert(network.load(), request.kind, request.patch_size, path)
    else:
        answer_of(CONVERT, request, ConversionAnswer, timeout_seconds=TIMEOUT_SECONDS)


def kept_networks() -> Path:
    """The folder of what is kept."""
    return cache_folder() / "networks"


def discard(file: Path) -> None:
    """Delete a file that turned out to be broken, and what belongs to it."""
    with contextlib.suppress(OSError):  # one that may only be read stays
        for path in file.parent.glob(f"{file.stem}.*"):
            path.unlink(missing_ok=True)


def forget_oldest(folder: Path, *, spared: Collection[str], most_bytes: int = MOST_BYTES) -> None:
    """Delete what was not used for longest until the rest is small enough. spared: names of what stays all the same."""
    groups: dict[str, list[Path]] = {}
    for path in folder.iterdir():
        groups.setdefault(path.stem, []).append(path)
    groups = {stem: paths for stem, paths in groups.items() if stem not in spared}
    with contextlib.suppress(OSError):  # another command may delete them, too
        total = sum(path.stat().st_size for path in folder.iterdir())
        for paths in sorted(groups.values(), key=lambda one: max(path.stat().st_mtime for path in one)):
            if total <= most_bytes:
                return
            total -= sum(path.stat().st_size for path in paths)
            for path in paths:
                path.unlink()


def convert(network: nn.Module, kind: str, patch_size: Ints, file: Path) -> None:
    """Write a network, which is used up, in another format, whole or not at all."""
    if kind == OPENVINO:
        from autoseg.inference.backends.openvino import converted, write_openvino

        write_openvino(converted(network, patch_size), file)
    else:
        from autoseg.inference.backends.onnxruntime import exported

        with atomic_path(file) as temporary:
            temporary.write_bytes(exported(network))


def _key(network: NetworkFile, kind: str, patch_size: Ints) -> str:
    versions = {name: installed_version(name) for name in ("torch", kind)} | {"schema": CONVERSION_SCHEMA}
    asked = {"weights": checksum(network.path), "organ": network.organ, "kind": kind, "patch_size": patch_size}
    return checksum_of([versions, asked])[:32]


def _is_there(path: Path, kind: str) -> bool:
    return all(path.with_suffix(ending).is_file() for ending in ENDINGS[kind])


def _touch(path: Path) -> None:
    """Remember that it was used."""
    with contextlib.suppress(OSError):
        os.utime(path)


def main() -> None:
    """Answer the request on standard input on standard output."""
    request = from_json(ConversionRequest, json.load(sys.stdin), "standard input")
    network = NetworkFile(Path(request.weights), request.organ).load()
    convert(network, request.kind, request.patch_size, Path(request.file))
    print(json.dumps({"file": request.file}))


if __name__ == "__main__":
    main()
