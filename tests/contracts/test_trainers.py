"""What every registered trainer keeps to."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from autoseg.data.folds import Fold
from autoseg.errors import FileError, OptionError
from autoseg.registry import resolve
from autoseg.workspace import Workspace
from trainers import COMPRESSING, TRAINERS
from trainers.job import TrainingResult


@pytest.mark.parametrize("name", TRAINERS)
def test_is_a_documented_final_class_made_with_a_job(name: str) -> None:
    trainer = resolve("trainer", TRAINERS, name)
    assert trainer.__doc__
    assert trainer.__bases__ == (object,)
    assert list(inspect.signature(trainer).parameters) == ["job"]


FROM_NOTHING = [name for name in TRAINERS if name not in COMPRESSING]


@pytest.mark.parametrize("name", FROM_NOTHING)
def test_refuses_a_configuration_that_it_cannot_train(name: str) -> None:
    stages = (object(),) * (2 if name == "standard" else 1)
    job = SimpleNamespace(stages=stages, configuration="3d_strange")
    with pytest.raises(OptionError, match=r"3d_strange has .*--trainer"):
        resolve("trainer", TRAINERS, name)(job)


@pytest.mark.parametrize("name", COMPRESSING)
def test_refuses_to_compress_what_is_not_there(name: str, tmp_path: Path) -> None:
    job = SimpleNamespace(
        stages=(SimpleNamespace(region=None),),
        configuration="3d_fullres",
        compression=None,
        workspace=Workspace(tmp_path),
        dataset=SimpleNamespace(name="Dataset001_X"),
        plans=SimpleNamespace(name="plans"),
    )
    with pytest.raises(FileError, match=r"standard__plans__3d_fullres: .*no model to compress"):
        resolve("trainer", TRAINERS, name)(job)


@pytest.mark.parametrize("name", FROM_NOTHING)
@pytest.mark.parametrize(
    ("folds", "earlier"),
    [("0", 3), ("012", 4), ("01234", 5), (("all",), 6), (("0", "all"), 4)],
)
def test_tells_how_many_networks_it_trains(name: str, folds: Sequence[str], earlier: int) -> None:
    regions = [None] if name == "standard" else [None, object() if name == "two_stage" else None]
    stages = tuple(
        SimpleNamespace(name=str(number), network_name=str(number), region=region)
        for number, region in enumerate(regions)
    )
    every = tuple(Fold((), (case,)) for case in "abcde")
    job = SimpleNamespace(
        stages=stages,
        configuration="3d_usual",
        dataset=SimpleNamespace(cases=[SimpleNamespace(id=case) for case in "abcde"]),
        folds=every,
        fold=lambda number: every[int(number)],
        fold_names=tuple(folds),
        fold_count=len(folds),
        earlier_folds=(),
    )
    trainings = resolve("trainer", TRAINERS, name)(job).trainings()
    assert list(trainings.values()) == [earlier, len(folds)][-len(stages) :]
    assert list(trainings) == [stage.name for stage in stages]


def test_the_mean_is_over_folds_with_held_out_cases() -> None:
    assert TrainingResult(Path(), {"0": 0.5, "1": 0.7, "all": None}).mean_dice == pytest.approx(0.6)
    assert TrainingResult(Path(), {"all": None}).mean_dice is None
