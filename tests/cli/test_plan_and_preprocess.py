from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.cli.plan_and_preprocess import _cpu_memory, main
from autoseg.geometry import Geometry
from autoseg.io import Volume, write_image, write_labels
from autoseg.plans import Plans, read_plans
from planners.default import DefaultPlanner

SHAPE = (20, 40, 36)
GEOMETRY = Geometry(SHAPE, (2.0, 1.0, 1.0))
NAME = "Dataset007_Boxes"


class UserPlanner:
    """A planner of somebody else's."""

    def plan(self, *arguments: object) -> Plans:
        return DefaultPlanner().plan(*arguments)  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with four small cases; the machine's speed is given instead of measured."""
    monkeypatch.setattr("autoseg.runtime.seconds_per_multiply_add", lambda device: 1e-11)
    folder = tmp_path / "raw" / NAME
    rng = np.random.default_rng(0)
    for number in range(4):
        labels = np.zeros(SHAPE, np.int16)
        labels[5:15, 10:30, 8:20] = 1
        image = (labels * 50 + 100 + rng.normal(0, 5, SHAPE)).astype(np.float32)
        write_image(folder / "imagesTr" / f"c{number}_0000.nii.gz", Volume(image, GEOMETRY))
        write_labels(folder / "labelsTr" / f"c{number}.nii.gz", Volume(labels, GEOMETRY))
    description = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "box": 1},
        "numTraining": 4,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return tmp_path


def run(root: Path, *arguments: str) -> int:
    return main(["-d", "7", "--device", "cpu", "--memory", "4G", "--workers", "2", "--root", str(root), *arguments])


def written(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "prepared" / NAME).glob("*"))


def test_everything_is_made_by_one_command(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "--budget", "30m") == 0
    assert written(root) == ["fingerprint.json", "plans.json", "plans_3d_fullres"]
    assert len(list((root / "prepared" / NAME / "plans_3d_fullres").glob("c?.npy"))) == 4
    plans = read_plans(root / "prepared" / NAME / "plans.json")
    assert plans.target.budget_seconds == 1800
    assert plans.channels[0].statistics.mean == pytest.approx(150, abs=1)
    assert "next: autoseg_train 7 3d_fullres" in capsys.readouterr().out


def test_a_second_run_changes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root) == 0
    before = {path: path.stat().st_mtime_ns for path in (root / "prepared").rglob("*.npy")}
    assert run(root) == 0
    assert {path: path.stat().st_mtime_ns for path in (root / "prepared").rglob("*.npy")} == before
    assert "no training case has changed" in capsys.readouterr().out


def test_a_changed_file_is_measured_again(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "--dry-run") == 0
    assert run(root) == 0
    os.utime(root / "raw" / NAME / "labelsTr" / "c0.nii.gz", (1, 1))
    capsys.readouterr()
    assert run(root) == 0
    assert "no file has changed" not in capsys.readouterr().out


def test_the_machine_is_measured_with_the_threads_of_a_training(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    monkeypatch.setattr("autoseg.runtime.threads.usable_cores", lambda: 1)
    monkeypatch.setattr(
        "autoseg.runtime.seconds_per_multiply_add", lambda device: threads.append(torch.get_num_threads()) or 1e-11
    )
    try:
        assert run(root, "--dry-run") == 0
    finally:
        torch.set_num_threads(before)
    assert threads == [1]


def test_little_memory_has_one_case_read_at_a_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def in_threads(function: Callable, items: Sequence, workers: int) -> Iterator:
        taken.append(workers)
        return map(function, items)

    for module in ("autoseg.checking", "autoseg.fingerprint"):
        monkeypatch.setattr(f"{module}.in_threads", in_threads)
    assert run(root, "--dry-run") == 0
    monkeypatch.setattr("autoseg.measuring.available_memory_bytes", lambda: 1)
    assert run(root, "--dry-run") == 0
    assert taken == [2, 2, 1, 1]


def test_a_dry_run_writes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "--dry-run", "--explain") == 0
    assert not (root / "prepared").exists()
    assert "3d_fullres.batch_size" in capsys.readouterr().out


def test_check_only_stops_after_the_check(root: Path) -> None:
    assert run(root, "--check-only") == 0
    assert not (root / "prepared").exists()


def test_errors_in_the_dataset_stop_with_code_2(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "raw" / NAME / "labelsTr" / "c2.nii.gz").unlink()
    assert run(root) == 2
    assert not (root / "prepared").exists()
    out = capsys.readouterr().out
    assert "c2" in out
    assert "1 error" in out


def test_planning_again_leaves_no_stale_configuration(root: Path) -> None:
    assert run(root, "--cascade", "always") == 0
    assert "plans_3d_lowres" in written(root)
    assert run(root) == 0
    assert written(root) == ["fingerprint.json", "plans.json", "plans_3d_fullres"]
    assert "3d_cascade" not in read_plans(root / "prepared" / NAME / "plans.json").configurations


def test_several_plans_live_side_by_side(root: Path) -> None:
    assert run(root) == 0
    assert run(root, "--planner", "residual", "--plans-name", "deep", "-c", "2d") == 0
    assert written(root) == ["deep.json", "deep_2d", "fingerprint.json", "plans.json", "plans_3d_fullres"]
    assert read_plans(root / "prepared" / NAME / "deep.json").planner == "residual"


def test_a_planner_of_ones_own(root: Path) -> None:
    assert run(root, "--planner", f"{__name__}:UserPlanner", "--dry-run") == 0


def test_overrides_arrive(root: Path) -> None:
    given = ["--base-filters", "12", "--pooling", "1", "--batch-size", "3", "--spacing", "2,1.5,1.5"]
    assert run(root, *given) == 0
    stage = read_plans(root / "prepared" / NAME / "plans.json").stages["3d_fullres"]
    assert [level.encoder_widths[0] for level in stage.network.levels] == [12, 24]
    assert (stage.batch_size, stage.spacing_mm) == (3, (2.0, 1.5, 1.5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--planner", "nobody"], "There is no planner 'nobody'. "),
        (["--pooling", "9"], "--pooling 9 is too deep"),
        (["-c", "3d_lowres"], "have no configuration '3d_lowres'"),
        (["--base-filters", "0"], "--base-filters must be at least 1"),
    ],
)
def test_mistakes_are_told(root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert run(root, *arguments) == 2
    assert message.strip() in capsys.readouterr().err
    assert not (root / "prepared" / NAME / "plans.json").exists()


@pytest.mark.parametrize("name", ["*", "a/b", "..", "a__b", "splits", ""])
def test_a_name_that_plans_cannot_have_is_told_before_anything_is_measured(
    root: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, "--plans-name", name) == 2
    told = capsys.readouterr()
    assert f"Plans cannot be called {name!r}" in told.err
    assert told.out == ""
    assert not (root / "prepared").exists()


def test_the_peers_plan_can_be_made_without_a_gpu(root: Path) -> None:
    assert run(root, "--device", "cuda", "--memory", "8G") == 0
    stage = read_plans(root / "prepared" / NAME / "plans.json").stages["3d_fullres"]
    assert stage.network.levels[0].encoder_widths == (32, 32)
    assert stage.training.optimizer == "sgd"


@pytest.mark.parametrize(("free", "planned"), [(20, 8), (17, 8), (15.9, 4), (64, 16), (0.9, 0.25)])
def test_the_memory_to_plan_for_does_not_follow_every_change_of_what_is_free(free: float, planned: float) -> None:
    assert _cpu_memory(int(free * 1024**3)) == planned * 1024**3


def test_what_reads_no_volume_is_checked_every_time(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root) == 0
    labels = root / "raw" / NAME / "labelsTr"
    (labels / "orphan.nii.gz").write_bytes(next(labels.glob("*.nii.gz")).read_bytes())
    assert run(root) == 2
    assert "orphan" in capsys.readouterr().out
