"""A comparison of tiny variants, from the command line to the table: run, stopped, continued, tested."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoseg.cli.compare import main
from autoseg.networks.closed_form import parameter_count
from autoseg.plans import read_plans
from dataset_conversion.phantom import write_phantom_dataset

NAME = "Dataset001_Phantom"
FIXED = ["--set", "patch-size=16,16,16", "cascade=always", "epochs=1", "iterations-per-epoch=2", "threads=1"]
Compare = Callable[..., int]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("workspace")
    write_phantom_dataset(root / "raw" / NAME, cases=5, test_cases=2, shape=(16, 24, 24))
    return root


@pytest.fixture(scope="module")
def compare(root: Path) -> Compare:
    def run(*arguments: object, fixed: list[str] = FIXED, time: tuple[str, str] = ("--budget", "20s")) -> int:
        words = ["1", *map(str, arguments), *fixed, "--device", "cpu", *time, "--root", str(root)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("autoseg.runtime.seconds_per_multiply_add", lambda device: 1e-11)
            return main(words)

    return run


def result(root: Path, name: str) -> Any:
    return json.loads((root / "results" / NAME / "comparisons" / name / "comparison.json").read_text())


def models(root: Path) -> dict[str, int]:
    """The finished networks of all folds, and when they were written."""
    found = (root / "results" / NAME).rglob("fold_*/model.safetensors")
    return {str(path.relative_to(root / "results" / NAME)): path.stat().st_mtime_ns for path in found}


def test_a_dry_run_tells_the_time_and_writes_nothing(
    root: Path, compare: Compare, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare("--vary", "configuration=3d_fullres,3d_cascade", "--dry-run", fixed=FIXED[:3]) == 0
    assert "2 models, 5 trainings, 1m40s in all, and then validation." in capsys.readouterr().out
    assert sorted(path.name for path in root.iterdir()) == ["raw"]


def test_all_that_planning_suggests_can_be_compared(
    root: Path, compare: Compare, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--vary", "configuration=3d_fullres,3d_cascade,3d_two_stage", "--dry-run"]
    assert compare(*words, fixed=FIXED[:2]) == 0
    assert "trained of each: 3d_fullres, 3d_cascade, 3d_two_stage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("varied", "trained"),
    [("pooling=1,2", None), ("cascade=always,never", "3d_cascade, 3d_fullres"), ("two-stage=always", "3d_two_stage")],
)
def test_different_things_are_compared_only_where_that_is_meant(
    root: Path,
    compare: Compare,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    varied: str,
    trained: str | None,
) -> None:
    suggested = iter(["3d_cascade", "3d_fullres"] * 2)
    monkeypatch.setattr("autoseg.cli.comparing.suggested_configuration", lambda plans: next(suggested))
    words = ["--vary", varied, "--dry-run"] if "," in varied else ["--vary", "pooling=1,2", "--dry-run"]
    options = ["cascade=always"] if varied.startswith("pooling") else [] if "," in varied else [varied]
    code = compare(*words, fixed=["--set", "patch-size=16,16,16", *options])
    told = capsys.readouterr()
    if trained is None:
        assert code == 2
        assert "3d_cascade with 1, 3d_fullres with 2" in told.err
        assert "as in -c 3d_cascade" in told.err
    else:
        assert code == 0
        assert f"trained of each: {trained}\n" in told.out


def test_a_total_is_the_same_for_one_stage_and_for_several(
    root: Path, compare: Compare, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--vary", "configuration=3d_fullres,3d_cascade", "--dry-run"]
    assert compare(*words, fixed=FIXED[:3], time=("--total", "80s")) == 0
    told = capsys.readouterr().out
    assert "configuration=3d_fullres: 1 training in 1m20s together, with a budget of 1m20s." in told
    assert "configuration=3d_cascade: 4 trainings in 1m20s together, with a budget of 20s." in told
    assert "2 models, 5 trainings, 2m40s in all, and then validation." in told
    assert told.count("measured before") == 2
    assert sorted(path.name for path in root.iterdir()) == ["raw"]


def test_a_total_is_of_time_and_not_of_epochs(root: Path, compare: Compare, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--vary", "configuration=3d_fullres,3d_cascade", "--dry-run"]
    assert compare(*words, time=("--total", "80s")) == 2
    told = capsys.readouterr().err
    assert "--total divides time, and the trainings of configuration=3d_fullres end by epochs." in told


def test_a_total_that_no_budget_meets_is_refused(
    root: Path, compare: Compare, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainers.cascade.CascadeTrainer.trainings", lambda trainer: {"3d_lowres": next(counts)})
        counts = iter(range(2, 100))
        words = ["--vary", "configuration=3d_fullres,3d_cascade", "--dry-run"]
        assert compare(*words, fixed=FIXED[:3], time=("--total", "80s")) == 2
    assert "No budget makes the trainings of configuration=3d_cascade take 1m20s" in capsys.readouterr().err


def test_folds_that_a_total_was_not_divided_for_are_refused(
    root: Path, compare: Compare, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--vary", "base-filters=4,8", "-c", "3d_fullres", "--name", "timed"]
    total = {"fixed": FIXED[:3], "time": ("--total", "80s")}

    def stop(task: Any, settings: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainers.stage.fit", stop)
    assert compare(*words, **total) == 130
    assert compare(*words, **total) == 130
    assert compare(*words, "--folds", 0, 1, **total) == 2
    assert "The 1m20s of base-filters=4 were divided for other --folds: with these its trainings take 2m40s." in (
        capsys.readouterr().err
    )
    assert compare(*words, fixed=FIXED[:3], time=("--total", "90s")) == 2
    assert "was begun with total_seconds 80.0, not 90.0" in capsys.readouterr().err


@pytest.fixture(scope="module")
def base_filters(root: Path, compare: Compare) -> Any:
    """A comparison of two widths, stopped after the first variant and continued."""
    from trainers.fitting import fit

    with pytest.MonkeyPatch.context() as patch:
        trained: list[str] = []

        def only_one(task: Any, settings: Any) -> None:
            if trained:
                raise KeyboardInterrupt
            trained.append(task.title)
            fit(task, settings)

        patch.setattr("trainers.stage.fit", only_one)
        assert compare("--vary", "base-filters=4,8", "-c", "3d_fullres") == 130
    finished = models(root)
    assert list(finished) == ["standard__compare-base-filters-4__3d_fullres/fold_0/model.safetensors"]
    assert compare("--vary", "base-filters=4,8", "-c", "3d_fullres") == 0
    assert finished.items() <= models(root).items()
    return result(root, "base-filters")


def test_a_stopped_comparison_goes_on(root: Path, base_filters: Any) -> None:
    assert list(base_filters["variants"]) == ["4", "8"]
    for value in ("4", "8"):
        plans = read_plans(root / "prepared" / NAME / f"compare-base-filters-{value}.json")
        assert plans.stages["3d_fullres"].network.levels[0].encoder_widths[0] == int(value)


def test_dice_is_that_of_the_folds_validation(root: Path, base_filters: Any) -> None:
    folder = root / "results" / NAME / "standard__compare-base-filters-8__3d_fullres" / "fold_0"
    summary = json.loads((folder / "summary.json").read_text())
    assert base_filters["cases"] == list(summary["cases"])
    assert base_filters["variants"]["8"]["mean_dice"]["mean"] == summary["overall"]["dice"]["mean"]
    assert base_filters["variants"]["4"]["difference"] == {}


def test_prepared_cases_are_shared(root: Path, base_filters: Any) -> None:
    prepared = root / "prepared" / NAME
    first, second = (prepared / f"compare-base-filters-{value}_3d_fullres" for value in ("4", "8"))
    assert all(path.samefile(second / path.name) for path in first.glob("*.npy"))


def test_more_seeds_and_test_cases_are_added_to_what_is_there(
    root: Path, compare: Compare, base_filters: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = models(root)
    raw = root / "raw" / NAME
    words = ["--vary", "base-filters=4,8", "-c", "3d_fullres", "--seeds", 0, 1]
    assert compare(*words, "-i", raw / "imagesTs", "--labels", raw / "labelsTs") == 0
    after = models(root)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 2
    found = result(root, "base-filters")
    assert (found["seeds"], len(found["cases"])) == (2, 2)
    told = capsys.readouterr().out
    assert "8 - 4 [95 % interval]" in told
    assert "test case" in told
    costs = json.loads((root / "results" / NAME / "comparisons" / "base-filters" / "costs.json").read_text())
    assert all(cost["seconds_per_case"] > 0 for cost in costs.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vary", "base-filters=4,8", "-c", "2d"], "was begun with configuration 3d_fullres, not 2d"),
        (["--vary", "base-filters=4,8"], "was begun with configuration 3d_fullres, not None"),
        (["--vary", "configuration=3d_fullres,3d_superres"], "no configuration '3d_superres'"),
        (["--vary", "configuration=2d,3d_fullres", "-c", "2d"], "-c fixes what --vary configuration varies"),
        (["--vary", "pooling=1,2", "-i", "somewhere"], "Give both -i and --labels"),
        (["--vary", "pooling=1,2", "--folds", "all"], "leaves no case to validate on"),
        (["--vary", "pooling=1,2", "--seeds", "3", "3"], "--seeds must differ"),
        (["--vary", "pooling=1,x"], "invalid int value: 'x'"),
        (["--vary", "loss=dice,mse"], "There is no loss 'mse'"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    root: Path,
    compare: Compare,
    base_filters: Any,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    before = models(root)
    assert compare(*arguments) == 2
    assert message in capsys.readouterr().err
    assert models(root) == before


def test_a_comparison_has_its_place(root: Path, base_filters: Any) -> None:
    files = {path.name for path in (root / "results" / NAME / "comparisons" / "base-filters").iterdir()}
    assert {"settings.json", "comparison.json", "comparison.csv", "comparison.png", "costs.json"} <= files


def test_what_variants_cost_is_told(root: Path, base_filters: Any) -> None:
    costs = json.loads((root / "results" / NAME / "comparisons" / "base-filters" / "costs.json").read_text())
    plans = {value: read_plans(root / "prepared" / NAME / f"compare-base-filters-{value}.json") for value in costs}
    weights = {value: parameter_count(plan.stages["3d_fullres"].network) for value, plan in plans.items()}
    assert {value: cost["weights"] for value, cost in costs.items()} == weights
    for cost in costs.values():
        assert cost["training_seconds"] > 0
        assert cost["seconds_per_held_out_case"] > 0
        assert cost["parts"] == {"3d_fullres": {name: cost[name] for name in cost["parts"]["3d_fullres"]}}
