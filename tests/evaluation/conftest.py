"""Two folders of small label files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.files import write_json
from autoseg.geometry import Geometry
from autoseg.io import Volume, write_labels

GEOMETRY = Geometry((4, 6, 8), (2.0, 1.0, 1.0))


@dataclass(frozen=True)
class Folders:
    """Predictions and references that are being made."""

    out: Path
    labels: Path

    def add(self, case: str, prediction: np.ndarray | None, reference: np.ndarray | None, **grid: Any) -> None:
        """Write a case's files; grid: what of the prediction's geometry differs from the reference's."""
        if reference is not None:
            write_labels(self.labels / f"{case}.nii.gz", Volume(reference, GEOMETRY))
        if prediction is not None:
            geometry = Geometry(**{**GEOMETRY.__dict__, "shape": prediction.shape, **grid})
            write_labels(self.out / f"{case}.nii.gz", Volume(prediction, geometry))

    def describe(self, **values: Any) -> None:
        """Write a dataset.json one folder above the references."""
        labels = {"background": 0, "liver": 1, "tumour": 2}
        write_json(self.labels.parent / "dataset.json", {"labels": labels, **values})


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Empty folders for predictions and references."""
    made = Folders(tmp_path / "out", tmp_path / "raw" / "labelsTs")
    made.out.mkdir()
    made.labels.mkdir(parents=True)
    return made


@pytest.fixture
def block() -> Callable[..., np.ndarray]:
    """Make a label map with a block of a value along z, y and x from 1 to `stop`."""

    def make(stop: int, value: int = 1) -> np.ndarray:
        array = np.zeros(GEOMETRY.shape, np.int16)
        array[1:3, 1:4, 1:stop] = value
        return array

    return make
