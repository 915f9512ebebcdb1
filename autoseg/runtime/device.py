"""Where to compute."""

from __future__ import annotations

from autoseg.errors import OptionError


def choose_device(wanted: str = "auto") -> str:
    """A torch device: for auto, cuda where there is one, else cpu. OptionError for one that is not there."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(wanted).type
    except RuntimeError as error:
        raise OptionError(f"--device {wanted!r} is no device.", "Give auto, cpu or cuda.") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise OptionError(f"--device {wanted}: this machine has no usable GPU.", "Use --device cpu.")
    return wanted
