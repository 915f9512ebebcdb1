"""A network in int8 beside its weights: the files, what it was made from, and whether its Dice was good enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.errors import FileError
from autoseg.files import checksum, read_artefact, write_json
from autoseg.inference.backends.probe import Calibrated

INT8_SCHEMA = 1
INT8 = "int8"
"""The name of the files, before their endings; where organs share a network, followed by _ and the organ's stage."""


@dataclass(frozen=True)
class Int8Record:
    """int8.json of a fold, beside int8.xml and int8.bin.

    weights: checksum of the network's file. model, values: checksums of int8.xml and int8.bin. patches: of training
    cases, by which it was calibrated. dice_before, dice_after: mean Dice over the validation cases, whole, of the
    network that it was made of (before it was trained for int8, if it was) and of the int8 form; None in a fold without
    such cases. tolerance: by how much the latter may be lower.
    answer: what it says of a phantom, by which another machine finds whether it computes the same.
    """

    weights: str
    model: str
    values: str
    patches: int
    dice_before: float | None
    dice_after: float | None
    tolerance: float
    answer: tuple[float, ...]
    schema: int = INT8_SCHEMA

    @property
    def accepted(self) -> bool:
        """Whether it may be used: its Dice was measured and is not too low."""
        if self.dice_before is None or self.dice_after is None:
            return False
        return self.dice_after >= self.dice_before - self.tolerance


def int8_files(weights: Path, organ: str | None = None) -> tuple[Path, Path]:
    """Where the int8 form of a network lies: the structure and its values. organ: of those that share it, which."""
    return _named(weights, organ, ".xml"), _named(weights, organ, ".bin")


def _named(weights: Path, organ: str | None, ending: str) -> Path:
    return weights.with_name(f"{INT8}{'' if organ is None else f'_{organ}'}{ending}")


def read_int8_record(weights: Path, organ: str | None = None) -> Int8Record | None:
    """The record beside a network's file; None where it was never brought to int8, or was trained anew since.

    Raises FileError where a file of it is missing or not the one that was measured.
    """
    path = _named(weights, organ, ".json")
    if not path.exists():
        return None
    record = read_artefact(Int8Record, path, remedy="Delete it, or make it again with --trainer int8.")
    if checksum(weights) != record.weights:
        return None
    for file, known in zip(int8_files(weights, organ), (record.model, record.values), strict=True):
        if checksum(file) != known:
            raise FileError(
                file, f"is not the file that {path.name} tells of.", f"Copy it again, or delete {path.name}."
            )
    return record


def write_int8_record(weights: Path, record: Int8Record, organ: str | None = None) -> None:
    """Write int8.json, after the other files: while it is missing, there is no int8."""
    write_json(_named(weights, organ, ".json"), record)


def find_int8(weights: Sequence[Path], *, organ: str | None = None) -> tuple[Calibrated, ...]:
    """The int8 forms of a stage's networks, one per fold; empty unless every one of them was accepted.

    organ: StagePlan.shared_as.
    """
    records = [read_int8_record(path, organ) for path in weights]
    found = [
        Calibrated(str(int8_files(path, organ)[0]), record.answer)
        for path, record in zip(weights, records, strict=True)
        if record is not None and record.accepted
    ]
    return tuple(found) if len(found) == len(weights) else ()
