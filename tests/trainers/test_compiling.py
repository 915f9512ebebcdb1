"""Which trainings are long enough for torch.compile."""

from __future__ import annotations

import pytest

from autoseg.plans import StagePlan, TrainingPlan
from autoseg.runtime.speed import probe_spec
from autoseg.training.options import TrainingOptions, settle
from trainers.compiling import is_worth_compiling

STAGE = StagePlan("s", (1.0,) * 3, (96.0,) * 3, (96, 96, 96), 2, probe_spec(), False)


@pytest.mark.parametrize(
    ("device", "options", "compiled"),
    [
        ("cuda", TrainingOptions(budget_seconds=7200.0), True),
        ("cuda:1", TrainingOptions(budget_seconds=120.0), False),
        ("cuda", TrainingOptions(epochs=1000), True),
        ("cuda", TrainingOptions(epochs=1, iterations_per_epoch=5), False),
        ("cpu", TrainingOptions(epochs=1000), False),
        ("cpu", TrainingOptions(budget_seconds=7200.0), False),
    ],
)
def test_only_long_trainings_on_a_gpu_are_compiled(device: str, options: TrainingOptions, compiled: bool) -> None:
    settings = settle(TrainingPlan(), options, precision="bf16", device=device)
    assert is_worth_compiling(settings, STAGE) == compiled
