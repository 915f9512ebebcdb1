"""The parts of a fitting, as its task and settings choose them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autoseg.data.folds import Fold
from autoseg.training.hooks import Validation
from trainers import fitting


@pytest.mark.parametrize(("organs", "iterations", "batches"), [(1, 20, 2), (7, 20, 7), (1, 250, 10), (7, 250, 10)])
def test_validation_sees_each_organ_of_a_shared_network(
    organs: int, iterations: int, batches: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "_patches", lambda task, settings, training: None)
    monkeypatch.setattr(fitting, "computation_of", lambda settings, stage: None)
    plans = SimpleNamespace(sharing=lambda stage: [stage] * organs)
    task: Any = SimpleNamespace(
        cases=Fold(("a",), ("b",)), job=SimpleNamespace(plans=plans), stage=None, title="", folder=tmp_path
    )
    settings: Any = SimpleNamespace(
        schedule="cosine",
        learning_rate=0.01,
        warmup_iterations=0,
        first_cycle_epochs=5,
        cycle_growth=3,
        iterations_per_epoch=iterations,
        patience=0,
        whole_validation_epochs=0,
    )
    average: Any = None
    (validation,) = (hook for hook in fitting._hooks(task, settings, average) if isinstance(hook, Validation))
    score: Any = validation.score
    assert score.count == batches
