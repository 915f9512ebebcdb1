"""Makes the suite importable: tests are imported one by one, without a package."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits to see whether the machine is idle."""
    monkeypatch.setattr("comparison.suite.IDLE_SECONDS", 0.01)
