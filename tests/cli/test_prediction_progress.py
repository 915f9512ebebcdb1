"""What is kept and told of cases while they are predicted."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli.prediction_progress import PredictionProgress
from autoseg.errors import DatasetError, FileError
from autoseg.inference.manifest import Manifest


def test_the_arrays_of_a_case_that_failed_are_let_go(tmp_path: Path) -> None:
    arrays: list[weakref.ref] = []

    def predict() -> None:
        array = np.zeros(3)
        arrays.append(weakref.ref(array))
        raise DatasetError("case0: holds NaN.")

    with PredictionProgress(tmp_path, Manifest((), 0.5, "all", "auto", "auto", (), {}), 2) as progress:
        try:
            predict()
        except DatasetError as error:
            progress.listener.failed("case0", error)
    assert arrays[0]() is None
    with pytest.raises(FileError, match=r"1 of 2 cases were not predicted:\ncase0: case0: holds NaN\."):
        progress.raise_failures()
