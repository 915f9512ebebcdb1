"""Another tolerance for int8: what is written, and what must be predicted again. The files hold no networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.files import checksum, write_text
from autoseg.inference.calibration import Int8Record, int8_files, read_int8_record, write_int8_record
from trainers import acceptance
from trainers.acceptance import accept_by, changes_acceptance

WEIGHTS = "fold_0/model.safetensors"
ORGANS = "stages/organs/fold_0/model.safetensors"
PREDICTED = (
    "step.json",
    "fold_0/summary.json",
    "fold_0/organs.json",
    "fold_0/validation/a.nii.gz",
    "stages/locate/boxes/a.json",
    "stages/3d_lowres/unseen_on_3d_fullres/a.npy",
    "stages/3d_lowres/fold_0/summary.json",
)


def bring_to_int8(weights: Path, organ: str | None = None, *, dice: float = 0.79) -> None:
    files = int8_files(weights, organ)
    for path in (weights, *files):
        write_text(path, path.name)
    sums = [checksum(path) for path in (weights, *files)]
    write_int8_record(weights, Int8Record(*sums, 64, 0.8, dice, 0.005, (0.0,)), organ)


@pytest.fixture
def step(tmp_path: Path) -> Path:
    """A step whose int8 lost .01 of Dice and was refused."""
    for name in PREDICTED:
        write_text(tmp_path / name, "{}")
    bring_to_int8(tmp_path / WEIGHTS)
    return tmp_path


def left(step: Path) -> set[str]:
    return {name for name in PREDICTED if (step / name).exists()}


def test_a_tolerance_that_changes_nothing_is_noted_alone(step: Path) -> None:
    assert not changes_acceptance(step, 0.002)
    accept_by(step, 0.002)
    record = read_int8_record(step / WEIGHTS)
    assert record is not None
    assert (record.tolerance, record.accepted) == (0.002, False)
    assert left(step) == set(PREDICTED)


def test_where_another_network_would_predict_the_predictions_go_and_the_networks_stay(step: Path) -> None:
    kept = [step / WEIGHTS, *int8_files(step / WEIGHTS)]
    before = [(path.read_text(), path.stat().st_mtime_ns) for path in kept]
    assert changes_acceptance(step, 0.02)
    accept_by(step, 0.02)
    record = read_int8_record(step / WEIGHTS)
    assert record is not None
    assert (record.tolerance, record.accepted) == (0.02, True)
    assert left(step) == set()
    assert [(path.read_text(), path.stat().st_mtime_ns) for path in kept] == before


def test_every_organ_of_a_shared_network_is_looked_at(step: Path) -> None:
    bring_to_int8(step / WEIGHTS, dice=0.8)
    for organ, dice in (("eye", 0.8), ("jaw", 0.77)):
        bring_to_int8(step / ORGANS, organ, dice=dice)
    assert changes_acceptance(step, 0.05)
    assert not changes_acceptance(step, 0.02)
    accept_by(step, 0.02)
    records = [read_int8_record(step / ORGANS, organ) for organ in ("eye", "jaw")]
    assert [record and (record.tolerance, record.accepted) for record in records] == [(0.02, True), (0.02, False)]


def test_a_killed_change_is_found_again(step: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(acceptance, "write_int8_record", killed)
        with pytest.raises(KeyboardInterrupt):
            accept_by(step, 0.02)
    assert not (step / "step.json").exists()
    assert changes_acceptance(step, 0.02)


def test_steps_without_int8_or_not_begun_are_left_alone(tmp_path: Path) -> None:
    for folder in (tmp_path / "pruned", tmp_path / "missing"):
        accept_by(folder, 1.0)
    for name in (*PREDICTED, WEIGHTS):
        write_text(tmp_path / "pruned" / name, "{}")
    assert not changes_acceptance(tmp_path / "pruned", 1.0)
    accept_by(tmp_path / "pruned", 1.0)
    assert left(tmp_path / "pruned") == set(PREDICTED)
