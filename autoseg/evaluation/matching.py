"""Which prediction belongs to which reference: by the name of the case, whatever the file endings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.dataset import FILE_ENDINGS, visible_files
from autoseg.errors import FileError, OptionError


@dataclass(frozen=True)
class Pair:
    """The two label files of a case."""

    case: str
    prediction: Path
    reference: Path


@dataclass(frozen=True)
class Matching:
    """All pairs, sorted by case; missing: cases without prediction; extra: predictions without reference."""

    pairs: tuple[Pair, ...]
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()


def match_files(predictions: Path, references: Path) -> Matching:
    """Pair the label files of two folders, or two files, whose names may then differ.

    Raises FileError for what does not exist, a folder without label files, two files of one case, or no pair at all.
    """
    for path in (predictions, references):
        if not path.exists():
            raise FileError(path, "does not exist.")
    if predictions.is_dir() != references.is_dir():
        raise OptionError(f"{predictions} and {references} must be two folders or two files.")
    if references.is_file():
        return Matching((Pair(case_name(references) or references.name, predictions, references),))
    predicted, referenced = _label_files(predictions), _label_files(references)
    shared = sorted(set(predicted) & set(referenced))
    if not shared:
        raise FileError(
            predictions,
            f"has no prediction for any case of {references} ({listed(sorted(referenced))}; "
            f"it has {listed(sorted(predicted))}).",
            "A prediction bears the name of its reference.",
        )
    return Matching(
        tuple(Pair(case, predicted[case], referenced[case]) for case in shared),
        tuple(sorted(set(referenced) - set(predicted))),
        tuple(sorted(set(predicted) - set(referenced))),
    )


def case_name(path: Path) -> str | None:
    """The file's name without its ending; None where it is no label file."""
    for ending in FILE_ENDINGS:
        if path.name.endswith(ending):
            return path.name.removesuffix(ending)
    return None


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names for a message, no more than `most`, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _label_files(folder: Path) -> dict[str, Path]:
    """The label files of a folder by case."""
    found: dict[str, Path] = {}
    for path in visible_files(folder):
        case = case_name(path) if path.is_file() else None
        if case is None:
            continue
        if case in found:
            raise FileError(path, f"is the second file of {case}, beside {found[case].name}.", "Remove one of them.")
        found[case] = path
    if not found:
        raise FileError(folder, f"holds no label files ({', '.join(FILE_ENDINGS)}).")
    return found
