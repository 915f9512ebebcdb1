"""Where to compute."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

from autoseg.errors import OptionError
from autoseg.runtime.cache import processor_generation, processor_name

GPU_KINDS = ("cuda", "hip")
NOT_BUILT_FOR = re.compile(rf"^({'|'.join(GPU_KINDS)})\b[^=\n]*= None$", re.MULTILINE)
"""In torch's version.py."""


def choose_device(wanted: str = "auto") -> str:
    """A torch device: for auto, cuda where there is one, else cpu. OptionError for one that is not there.

    Torch is not loaded where the answer is the CPU without asking it.
    """
    if wanted == "cpu" or (wanted == "auto" and _is_made_for_cpu()):
        return "cpu"
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        asked = torch.device(wanted)
    except RuntimeError as error:
        raise OptionError(f"--device {wanted!r} is no device.", "Give auto, cpu or cuda.") from error
    if asked.type == "cuda":
        if not torch.cuda.is_available():
            raise OptionError(f"--device {wanted}: this machine has no usable GPU.", "Use --device cpu.")
        last = torch.cuda.device_count() - 1
        if asked.index is not None and asked.index > last:
            raise OptionError(f"--device {wanted}: the last GPU of this machine is cuda:{last}.", "Use --device cuda.")
    return wanted


def describe_device(device: str) -> str:
    """The kind of a torch device and its name: of the GPU, or of the processor with its generation."""
    kind = device.partition(":")[0]
    if kind == "cuda":
        import torch

        return f"{kind}: {torch.cuda.get_device_name(device)}"
    return f"{kind}: {', '.join(filter(None, (processor_name(), processor_generation())))}"


def _is_made_for_cpu() -> bool:
    """Whether torch is not loaded yet, and says of itself that it was built without any kind of GPU."""
    package = None if "torch" in sys.modules else importlib.util.find_spec("torch")
    if package is None or package.origin is None:
        return False
    try:
        told = Path(package.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    return len(NOT_BUILT_FOR.findall(told)) == len(GPU_KINDS)
