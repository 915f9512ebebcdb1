"""In which number format a network is computed on this machine."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

PRECISIONS = ("fp32", "bf16", "fp16")


def autocast(precision: str, device: str) -> AbstractContextManager[Any]:
    """The context in which to run a forward pass. precision: fp32, bf16 or fp16. device: a torch device."""
    import torch

    if precision == "fp32":
        return contextlib.nullcontext()
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(torch.device(device).type, dtype=kinds[precision])
