"""Post-training int8: a network's convolutions in eight bits, calibrated on patches, as OpenVINO computes them.

Needs the package nncf, which reads the ranges of all maps off the patches and puts them into OpenVINO's model. Nothing
is trained. On processors with int8 instructions (AVX512-VNNI, AMX) this is the fastest way to predict on a CPU.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autoseg.compression.quantization import best_ranges
from autoseg.compression.weights import convolution_weights
from autoseg.errors import OptionError
from autoseg.inference.backends import EngineOptions, find_backend
from autoseg.inference.backends.openvino import converted, imported, write_openvino
from autoseg.inference.backends.probe import ProbeRequest, lone_phantom, sampled
from autoseg.networks.levels import Grid
from autoseg.plans import Ints
from autoseg.runtime import current_threads
from autoseg.runtime.precision import has_int8_instructions

INSTALL = 'python -m pip install -c constraints.txt -e ".[int8]"'
PACKAGES = ("openvino", "nncf")
PATCHES = 64
"""By which a network is calibrated; more take longer, all of them are held in memory."""
FIRST_LEVELS = 127
"""Of the weights of the convolution that reads the image, where sums in 16 bits might saturate: half of int8's."""


def is_installed() -> bool:
    """Whether what int8 needs is there."""
    return not _missing()


def check_installed() -> None:
    """Raise OptionError where what int8 needs is not installed, with the command that does."""
    if missing := _missing():
        raise OptionError(f"int8 needs {' and '.join(missing)}, not installed here.", f"Run {INSTALL}.")


def _missing() -> list[str]:
    return [package for package in PACKAGES if find_spec(package) is None]


def calibrate(network: nn.Module, patches: Iterable[torch.Tensor], patch_size: Ints, path: Path) -> None:
    """Write the int8 form of a network as path (.xml) and, beside it, .bin; each whole or not at all.

    Its input and output have the names of an exported network's. network: with its spec; it is not changed. patches:
    (1, C, *patch_size) float32, as prediction gives windows to the network. Raises OptionError where there is none.
    """
    check_installed()
    images = [patch.contiguous().float().numpy() for patch in patches]
    if not images:
        raise OptionError("int8 needs patches to be calibrated on, and there is none.", "Give training cases.")
    model = _quantized(converted(network, patch_size), images)
    write_openvino(model, path)


def _quantized(model: Any, images: list[Any]) -> Any:
    """OpenVINO's model in int8, by NNCF, which says nothing to anybody meanwhile."""
    imported()  # first: without its telemetry, which nncf then does not find either
    usual_class = logging.getLoggerClass()
    import nncf

    logging.setLoggerClass(usual_class)  # which the import replaces for everybody
    logging.getLogger("nncf").setLevel(logging.ERROR)  # its own set_log_level also reaches handlers of others
    halved = nncf.OverflowFix.DISABLE if has_int8_instructions() else nncf.OverflowFix.FIRST_LAYER
    with contextlib.redirect_stdout(io.StringIO()):  # a bar per pass over the patches
        return nncf.quantize(
            model,
            nncf.Dataset(images),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(images),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=halved),
        )


def halved_grids(network: nn.Module) -> dict[str, Grid]:
    """The levels, by name of the weight, that calibrate() has fewer of on this machine: FIRST_LEVELS, or none at all.

    network: any that build_network gives, or a SharedNetwork: their first convolution reads the image.
    """
    if has_int8_instructions():
        return {}
    name, weight = next(iter(convolution_weights(network).items()))
    return {name: Grid(FIRST_LEVELS, best_ranges(weight.detach().cpu().numpy(), FIRST_LEVELS, 0))}


def answer_to_phantom(network: nn.Module, path: Path, patch_size: Ints) -> tuple[float, ...]:
    """What an int8 form says of the phantom on this machine, for its record. network: the one that it was made of."""
    spec: Any = network.spec
    options = EngineOptions(patch_size, "int8", current_threads(), calibrated=path)
    engine = find_backend("openvino").compile(network, options)
    return sampled(engine(lone_phantom(ProbeRequest((), spec, patch_size, 1, 1))))
