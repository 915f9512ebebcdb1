"""compression.json: what was made smaller, by how much, and what it cost in Dice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

REPORT = "compression.json"
STEPS = "steps"
"""The folder with the models after each step, in that of a compressed model."""


@dataclass(frozen=True)
class NetworkMeasure:
    """One network of a stage.

    multiply_adds: of a forward pass over one patch. bytes: of the files that prediction opens, those in int8 among them
    where that was accepted, the mean over folds. seconds_per_patch: on the machine that made the report, beside the
    others of its stage, by this engine: in int8 where that was accepted; both None where nothing was measured. zeros:
    their share among the weights of convolutions in model.safetensors; None in a report of before that was told.
    levels: that those weights lie on; None for floats.
    """

    parameters: int
    multiply_adds: int
    bytes: int
    seconds_per_patch: float | None = None
    engine: str | None = None
    zeros: float | None = None
    levels: int | None = None


@dataclass(frozen=True)
class StepReport:
    """The model after a step.

    dice: mean over the validation cases of the folds, whole; None without any. networks: by stage.
    """

    name: str
    dice: float | None
    fold_dice: dict[str, float | None]
    networks: dict[str, NetworkMeasure]


@dataclass(frozen=True)
class CompressionReport:
    """A compressed model.

    source: the folder of the model that it was made from, below the one that both lie in, or its name where it lies
    elsewhere, and made_from the checksums of its networks by file.
    chosen: the name of the step that became the model. engines: by stage, what floats were measured with. steps: the
    uncompressed model first, then every step that was made, also one that was not taken for its Dice.
    """

    trainer: str
    source: str
    made_from: dict[str, str]
    options: dict[str, Any]
    chosen: str
    dice_before: float | None
    dice_after: float | None
    engines: dict[str, str]
    steps: tuple[StepReport, ...]
    schema: int = 1
