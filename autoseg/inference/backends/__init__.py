"""Engines that compute a trained network: one interface, several libraries.

A backend turns a network into an Engine. Which one is fastest on a machine is measured (choice.py), in a process of its
own (probe.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from autoseg.errors import OptionError
from autoseg.registry import resolve

if TYPE_CHECKING:
    from torch import Tensor, nn

    from autoseg.plans import Ints

BACKENDS = {
    "torch": "autoseg.inference.backends.pytorch:TorchBackend",
    "openvino": "autoseg.inference.backends.openvino:OpenVinoBackend",
    "onnxruntime": "autoseg.inference.backends.onnxruntime:OnnxRuntimeBackend",
}
INSTALL = 'python -m pip install -c constraints.txt -e ".[cpu]"'

Engine = Callable[["Tensor"], "Tensor"]
"""(B, C, *patch) float32, for any B, to logits (B, K, *patch) float32: those of the finest level."""


@dataclass(frozen=True)
class EngineOptions:
    """What an engine is made for.

    patch_size: of every window that it will see. precision: fp32, bf16, fp16 or int8. threads: for engines that keep
    threads of their own. device: a torch device; engines other than torch know "cpu" only. compiled: have torch
    compile it, which takes about a minute. calibrated: the file of the network in int8, which that precision computes
    in place of the network itself.
    """

    patch_size: Ints
    precision: str
    threads: int
    device: str = "cpu"
    compiled: bool = False
    calibrated: Path | None = None


class Backend(Protocol):
    """A way to compute networks.

    packages: what it imports besides torch. precisions: those that it has on a CPU.
    """

    packages: tuple[str, ...]
    precisions: tuple[str, ...]

    def compile(self, network: nn.Module, options: EngineOptions) -> Engine:
        """The engine of a network with its spec, which is set to evaluation and may be changed: it is used up."""


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


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
