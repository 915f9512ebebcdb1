"""What the values of the evaluated label files mean: out of a dataset.json, or out of the files themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.dataset import read_not_contoured, read_windows
from autoseg.errors import FormatError
from autoseg.files import read_json
from autoseg.labels import Labels, read_labels_entry


@dataclass(frozen=True)
class Description:
    """What is known about the labels.

    labels: the classes. not_contoured: per case the classes that nobody looked for. source: the dataset.json that says
    so; None where the classes are named by the values found. window: the intensities between which its images are
    usually shown, the first of several; None where it names none.
    """

    labels: Labels
    not_contoured: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: Path | None = None
    window: tuple[float, float] | None = None


def read_description(path: Path) -> Description:
    """Read labels, not_contoured and windows of a dataset.json, of nnU-Net's form or the Decathlon's.

    Other keys may lack.
    """
    values = read_json(path)
    if not isinstance(values, dict):
        raise FormatError(path, "must hold an object.")
    labels = read_labels_entry(values, path)
    window = next(iter(read_windows(values, path).values()), None)
    return Description(labels, read_not_contoured(values, labels, path), path, window)


def find_description(predictions: Path, references: Path) -> Description | None:
    """The first dataset.json with a labels entry: beside the references, one folder above, beside the predictions."""
    beside = references if references.is_dir() else references.parent
    for folder in (beside, beside.absolute().parent, predictions if predictions.is_dir() else predictions.parent):
        path = folder / "dataset.json"
        if path.is_file():
            values = read_json(path)
            if isinstance(values, dict) and isinstance(values.get("labels"), dict):
                return read_description(path)
    return None


def describe_values(values: Iterable[int]) -> Description:
    """Every value above zero is a class that bears its number as its name."""
    return Description(Labels({str(value): (value,) for value in sorted(set(values)) if value > 0}))
