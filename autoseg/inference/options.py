"""What a prediction is told, checked before anything heavy is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from autoseg.errors import OptionError
from autoseg.plans import Ints


@dataclass(frozen=True)
class PredictionOptions:
    """How to predict; the results differ a little with overlap, flips and precision.

    overlap: of neighbouring windows, as a fraction of the patch. flips: None for what the plan says; "all" averages
    over every combination of the plan's mirror axes, "none" over none; a number takes that many flipped copies besides
    the plain one, in the plane first; a tuple gives the plan's axes.
    precision: auto, fp32, bf16, fp16 or int8. device: auto, cpu, cuda, cuda:1. backend: auto, torch, openvino,
    onnxruntime, or package.module:Class (autoseg.inference.backends).
    batch_size: windows per call of the network; None for what is fast, see usual_batch_size.
    memory_bytes: what the process may hold at most, with the one that measures engines; None for what is free.
    """

    overlap: float = 0.5
    flips: str | int | Ints | None = None
    precision: str = "auto"
    device: str = "auto"
    batch_size: int | None = None
    memory_bytes: int | None = None
    backend: str = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.flips, str) and self.flips not in ("all", "none"):
            raise OptionError(f"Flips must be all, none, a number or axes, not {self.flips!r}.")
        if isinstance(self.flips, int) and self.flips < 0:
            raise OptionError(f"The number of flips must be at least 0, not {self.flips}.")
        if self.memory_bytes is not None and self.memory_bytes <= 0:
            raise OptionError(f"--memory must be positive, not {self.memory_bytes}.")
