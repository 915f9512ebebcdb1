"""What several tests of compressions begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import TRAIN, command, no_measuring, small_workspace


@pytest.fixture(scope="module")
def unmeasured() -> Iterator[None]:
    """Nothing is timed while the tests of a module run."""
    with no_measuring():
        yield


@pytest.fixture(scope="module")
def root(unmeasured: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a trained model of a phantom dataset, by TRAIN; nothing is timed."""
    root = small_workspace(tmp_path_factory.mktemp("workspace"), "-c", "3d_fullres")
    assert command(*TRAIN, root=root) == 0
    return root
