"""Fixtures that every room's tests may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with real volumes; without AUTOSEG_TEST_DATA the test is skipped."""
    folder = os.environ.get("AUTOSEG_TEST_DATA")
    if not folder:
        pytest.skip("AUTOSEG_TEST_DATA is not set: the real volumes are not at hand")
    return Path(folder)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measurements of this machine are cached apart from the user's."""
    monkeypatch.setenv("AUTOSEG_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
