"""The organs of a shared network are brought to int8 one by one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from autoseg.data.folds import Fold
from autoseg.data.regions import CaseRegions
from trainers.fitting import FittingTask
from trainers.int8 import parts_of


def task(*, shared: bool) -> FittingTask:
    stages = [SimpleNamespace(name=name, shared_as=name if shared else None) for name in ("eye", "jaw")]
    numbers = {"a__eye": 0, "a__jaw": 1, "b__jaw": 1, "c__eye": 0}
    regions = {name: CaseRegions(None, None, (0, 0, 0), organ=number) for name, number in numbers.items()}
    job: Any = SimpleNamespace(plans=SimpleNamespace(sharing=lambda stage: stages))
    first: Any = stages[0]
    cases = Fold(("a__eye", "a__jaw", "b__jaw"), ("c__eye",))
    return FittingTask("organs fold_0", job, first, SimpleNamespace(), cases, None, Path("fold_0"), regions)  # type: ignore[arg-type]


def test_each_organ_sees_its_own_regions() -> None:
    eye, jaw = parts_of(task(shared=True))
    assert (eye.stage.name, eye.cases) == ("eye", Fold(("a__eye",), ("c__eye",)))
    assert (jaw.stage.name, jaw.cases) == ("jaw", Fold(("a__jaw", "b__jaw"), ()))
    assert jaw.title == "organs fold_0 jaw"


def test_a_network_of_its_own_is_one_part() -> None:
    one = task(shared=False)
    assert list(parts_of(one)) == [one]
