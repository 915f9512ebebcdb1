"""A small sound dataset that the tests spoil."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.dataset import Dataset, read_dataset
from autoseg.geometry import Geometry
from autoseg.io import Volume, write_image, write_labels

GRID = Geometry((4, 5, 6), (3.0, 1.0, 1.0))


class Spoilable:
    """A raw dataset of three training cases a, b, c and a test case t, of two channels and two classes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.values: dict[str, Any] = {
            "channel_names": {"0": "T1", "1": "T2"},
            "labels": {"background": 0, "liver": 1, "tumour": 2},
            "numTraining": 3,
            "file_ending": ".nii.gz",
        }
        for number, case_id in enumerate("abc"):
            for channel in range(2):
                self.image(case_id, _noise(10 * number + channel), channel=channel)
            self.label(case_id, _two_classes())
        for channel in range(2):
            self.image("t", _noise(90 + channel), channel=channel, part="Ts")
        self.label("t", _two_classes(), part="Ts")

    def image(
        self, case_id: str, array: np.ndarray, *, channel: int = 0, part: str = "Tr", grid: Geometry = GRID
    ) -> None:
        """Write a channel."""
        write_image(self.folder / f"images{part}" / f"{case_id}_{channel:04d}.nii.gz", Volume(array, grid))

    def label(self, case_id: str, array: np.ndarray, *, part: str = "Tr", grid: Geometry = GRID) -> None:
        """Write a label."""
        write_labels(self.folder / f"labels{part}" / f"{case_id}.nii.gz", Volume(array, grid))

    def read(self, **changes: Any) -> Dataset:
        """Write dataset.json, with changed keys, and read it."""
        (self.folder / "dataset.json").write_text(json.dumps({**self.values, **changes}))
        return read_dataset(self.folder)


def _noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(GRID.shape).astype(np.float32)


def _two_classes() -> np.ndarray:
    labels = np.zeros(GRID.shape, dtype=np.int16)
    labels[1], labels[2] = 1, 2
    return labels


@pytest.fixture
def spoilable(tmp_path: Path) -> Spoilable:
    """The dataset, sound so far."""
    return Spoilable(tmp_path)


@pytest.fixture
def noise() -> Callable[[int], np.ndarray]:
    """noise(seed): another image on the grid of the dataset."""
    return _noise
