"""Where to compute."""

from __future__ import annotations

from autoseg.errors import OptionError
from autoseg.runtime.cache import processor_generation, processor_name


def choose_device(wanted: str = "auto") -> str:
    """A torch device: for auto, cuda where there is one, else cpu. OptionError for one that is not there."""
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
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        return f"{kind}: {torch.cuda.get_device_name(device)}"
    return f"{kind}: {', '.join(filter(None, (processor_name(), processor_generation())))}"
