"""Engines that compute a trained network: one interface, several libraries.

A backend turns a network into an Engine. Which one is fastest on a machine is measured (choice.py), in a process of its
own (probe.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from autoseg.errors import OptionError
from autoseg.registry import resolve

if TYPE_CHECKING:
    from torch import nn

    from autoseg.inference.arrays import Array
    from autoseg.inference.backends.network_file import NetworkFile
    from autoseg.plans import Ints

BACKENDS = {
    "torch": "autoseg.inference.backends.pytorch:TorchBackend",
    "openvino": "autoseg.inference.backends.openvino:OpenVinoBackend",
    "onnxruntime": "autoseg.inference.backends.onnxruntime:OnnxRuntimeBackend",
}
INSTALL = 'python -m pip install -c constraints.txt -e ".[cpu]"'

IMAGE, LOGITS = "image", "logits"
"""The names of a network's input and output in files of other formats."""

Engine = Callable[["Array"], "Array"]
"""(B, C, *patch) float32, for any B, to logits (B, K, *patch) float32: those of the finest level.

On a CPU both are numpy's, on a GPU tensors on it.
"""


@dataclass(frozen=True)
class EngineOptions:
    """What an engine is made for.

    patch_size: of every window that it will see. precision: fp32, bf16, fp16 or int8. threads: for engines that keep
    threads of their own. device: a torch device; engines other than torch know "cpu" only. compiled: have torch
    compile it, which takes about a minute. calibrated: the file of the network in int8, which that precision computes
    in place of the network itself. memory_bytes: what this process may hold, with others that help it.
    """

    patch_size: Ints
    precision: str
    threads: int
    device: str = "cpu"
    compiled: bool = False
    calibrated: Path | None = None
    memory_bytes: int | None = None


class Backend(Protocol):
    """A way to compute networks.

    packages: what it imports besides torch. precisions: those that it has on a CPU.
    """

    packages: tuple[str, ...]
    precisions: tuple[str, ...]

    def compile(self, network: nn.Module | NetworkFile, options: EngineOptions) -> Engine:
        """The engine of a network with its spec; one in memory is set to evaluation and may be changed: it is used up.

        A network on disk is loaded only where the engine computes that and no other form of it.
        """


def find_backend(name: str) -> Backend:
    """The backend of a registered name, or of "package.module:Class".

    Raises OptionError for an unknown name, and for one whose packages are not installed, with the command that does.
    """
    backend: Any = resolve("backend", BACKENDS, name)()
    missing = missing_packages(backend)
    if missing:
        raise OptionError(
            f"The backend {name} needs {' and '.join(missing)}, which {_is(missing)} not installed.",
            f"Run {INSTALL} in autoseg's folder, or use --backend torch.",
        )
    return backend


def installed_backends() -> list[str]:
    """The registered names whose packages are installed, torch first."""
    return [name for name in BACKENDS if not missing_packages(resolve("backend", BACKENDS, name)())]


def missing_packages(backend: Backend) -> list[str]:
    """The packages of a backend that cannot be imported; nothing is imported to find out."""
    return [package for package in backend.packages if find_spec(package) is None]


def installed_version(package: str) -> str:
    """The version of an installed package, also where it comes under another name, as onnxruntime-gpu."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ", ".join(f"{name} {version(name)}" for name in packages_distributions().get(package, []))


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
