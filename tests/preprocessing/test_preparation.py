from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import read_dataset
from autoseg.errors import AutosegError, FileError
from autoseg.files import TEMPORARY_PREFIX, read_json, write_json
from autoseg.io import read_image
from autoseg.plans import Plans, write_plans
from autoseg.preprocessing import preparation
from autoseg.preprocessing.preparation import affordable_workers, prepare_dataset, prepare_grids
from autoseg.preprocessing.store import PreparedStore

MakePlans = Callable[..., Plans]


def prepare_all(raw: Path, plans: Plans, folder: Path, workers: int = 2) -> PreparedStore:
    stage = plans.stages["3d_fullres"]
    return prepare_dataset(read_dataset(raw), plans, stage, folder, workers=workers, progress=False)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a store; archives by what they hold, since they carry the time."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix != ".npz"}


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.fixture
def plans(make_plans: MakePlans) -> Plans:
    return make_plans((1.0, 1.0, 1.3), channels=(("zscore", False),))


def test_every_case_is_prepared(raw_folder: Path, plans: Plans, tmp_path: Path) -> None:
    store = prepare_all(raw_folder, plans, tmp_path / "p")
    assert store.case_ids() == ["case_0", "case_1", "case_2", "case_3"]
    assert store.image("case_0").shape == (1, 20, 12, 8)
    assert set(store.foreground("case_0")) == {"one", "two"}
    assert store.record("case_1").not_contoured == ("two",)


def test_any_number_of_workers_gives_the_same_files(raw_folder: Path, plans: Plans, tmp_path: Path) -> None:
    for workers in (1, 3):
        prepare_all(raw_folder, plans, tmp_path / f"p{workers}", workers)
    assert contents(tmp_path / "p1") == contents(tmp_path / "p3")


def test_a_second_run_does_nothing(raw_folder: Path, plans: Plans, tmp_path: Path) -> None:
    prepare_all(raw_folder, plans, tmp_path / "p")
    before = times(tmp_path / "p")
    prepare_all(raw_folder, plans, tmp_path / "p")
    assert times(tmp_path / "p") == before


def test_only_the_case_that_changed_is_prepared_again(raw_folder: Path, plans: Plans, tmp_path: Path) -> None:
    prepare_all(raw_folder, plans, tmp_path / "p")
    before = times(tmp_path / "p")
    os.utime(raw_folder / "labelsTr" / "case_2.nii.gz", ns=(1, 1))
    prepare_all(raw_folder, plans, tmp_path / "p")
    changed = {name for name, when in times(tmp_path / "p").items() if when != before[name]}
    assert changed == {f"case_2{ending}" for ending in (".npy", "_labels.npy", "_foreground.npz", ".json")}


def test_other_plans_make_every_case_stale(raw_folder: Path, plans: Plans, tmp_path: Path) -> None:
    prepare_all(raw_folder, plans, tmp_path / "p")
    other = dataclasses.replace(plans, channels=(dataclasses.replace(plans.channels[0], scheme="rescale"),))
    assert prepare_all(raw_folder, other, tmp_path / "p").image("case_0").max() <= 1


def test_what_does_not_change_the_arrays_makes_nothing_stale(raw_folder: Path, plans: Plans, tmp_path: Path) -> None:
    prepare_all(raw_folder, plans, tmp_path / "p")
    before = times(tmp_path / "p")
    stage = dataclasses.replace(plans.stages["3d_fullres"], patch_size=(4, 4, 4), batch_size=9)
    prepare_all(raw_folder, dataclasses.replace(plans, stages={stage.name: stage}), tmp_path / "p")
    assert times(tmp_path / "p") == before


def test_a_case_that_left_the_dataset_leaves_the_store(raw_folder: Path, plans: Plans, tmp_path: Path) -> None:
    prepare_all(raw_folder, plans, tmp_path / "p")
    (raw_folder / "imagesTr" / "case_3_0000.nii.gz").unlink()
    assert prepare_all(raw_folder, plans, tmp_path / "p").case_ids() == ["case_0", "case_1", "case_2"]
    assert not list((tmp_path / "p").glob("case_3*"))


def test_a_broken_case_is_an_error_and_the_others_survive(raw_folder: Path, plans: Plans, tmp_path: Path) -> None:
    image = raw_folder / "imagesTr" / "case_3_0000.nii.gz"
    image.write_bytes(image.read_bytes()[:-200])
    with pytest.raises(AutosegError, match="case_3_0000"):
        prepare_all(raw_folder, plans, tmp_path / "p", workers=1)
    assert "case_3" not in PreparedStore(tmp_path / "p").case_ids()


def test_a_missing_label_file_is_named(raw_folder: Path, plans: Plans, tmp_path: Path) -> None:
    (raw_folder / "labelsTr" / "case_1.nii.gz").unlink()
    with pytest.raises(FileError, match=r"case_1.nii.gz: cannot be read"):
        prepare_all(raw_folder, plans, tmp_path / "p")


def test_remains_of_a_killed_run_are_cleared(raw_folder: Path, plans: Plans, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / f"{TEMPORARY_PREFIX}9-case_0.npy").write_bytes(b"half")
    prepare_all(raw_folder, plans, tmp_path / "p")
    assert not list((tmp_path / "p").glob(f"{TEMPORARY_PREFIX}*"))


def test_a_record_of_another_version_is_prepared_again(raw_folder: Path, plans: Plans, tmp_path: Path) -> None:
    store = prepare_all(raw_folder, plans, tmp_path / "p")
    values = read_json(tmp_path / "p" / "case_0.json")
    write_json(tmp_path / "p" / "case_0.json", values | {"unheard_of": 1})
    prepare_all(raw_folder, plans, tmp_path / "p")
    assert store.record("case_0").case_id == "case_0"


def test_a_case_is_read_once_for_all_grids(
    raw_folder: Path, plans: Plans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = plans.stages["3d_fullres"]
    coarse = dataclasses.replace(fine, spacing_mm=(2.0, 2.0, 2.6))
    for folder, stage in (("fine", fine), ("coarse", coarse)):
        prepare_dataset(read_dataset(raw_folder), plans, stage, tmp_path / folder, progress=False)
    images: list[Path] = []
    monkeypatch.setattr(preparation, "read_image", lambda paths: images.extend(paths) or read_image(paths))
    both = {tmp_path / "both" / "fine": fine, tmp_path / "both" / "coarse": coarse}
    for _ in range(2):
        stores = prepare_grids(read_dataset(raw_folder), plans, both, progress=False)
        assert len(images) == 4
    assert list(stores) == list(both)
    for folder in ("fine", "coarse"):
        assert contents(tmp_path / "both" / folder) == contents(tmp_path / folder)
    stores[tmp_path / "both" / "coarse"].remove("case_2")
    before = times(tmp_path / "both" / "fine")
    prepare_grids(read_dataset(raw_folder), plans, both, progress=False)
    assert [path.name for path in images[4:]] == ["case_2_0000.nii.gz"]
    assert times(tmp_path / "both" / "fine") == before


def test_memory_limits_the_workers(raw_folder: Path, plans: Plans, monkeypatch: pytest.MonkeyPatch) -> None:
    cases, stage = read_dataset(raw_folder).cases, plans.stages["3d_fullres"]
    monkeypatch.setattr(preparation, "available_memory_bytes", lambda: 1)
    assert affordable_workers(cases, plans, [stage]) == 1
    monkeypatch.setattr(preparation, "available_memory_bytes", lambda: 100 * 13 * 12 * 11)
    assert 2 <= affordable_workers(cases, plans, [stage]) <= 10


KILLED = """
import sys
from pathlib import Path
from autoseg.dataset import read_dataset
from autoseg.plans import read_plans
from autoseg.preprocessing.preparation import prepare_dataset
raw, plans, folder = map(Path, sys.argv[1:])
plans = read_plans(plans)
prepare_dataset(read_dataset(raw), plans, plans.stages["3d_fullres"], folder, workers=1, progress=False)
"""


def test_killed_and_run_again_it_ends_as_if_uninterrupted(raw_folder: Path, plans: Plans, tmp_path: Path) -> None:
    write_plans(tmp_path / "plans.json", plans)
    folder = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(raw_folder), str(tmp_path / "plans.json"), str(folder)]
    with subprocess.Popen(command) as process:
        while process.poll() is None and not list(folder.glob("*.npy")):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert len(PreparedStore(folder).case_ids()) < 4
    prepare_all(raw_folder, plans, folder)
    prepare_all(raw_folder, plans, tmp_path / "whole")
    assert contents(folder) == contents(tmp_path / "whole")


@pytest.mark.real_data
def test_restoring_prepared_ground_truth_of_real_cases(test_data: Path, make_plans: MakePlans) -> None:
    from autoseg.io import read_image, read_labels
    from autoseg.labels import Labels
    from autoseg.preprocessing.case import prepare
    from autoseg.preprocessing.restore import restore_labels

    labels = Labels({"anterior": (1,), "posterior": (2,)})
    stage = (made := make_plans((0.8, 0.8, 0.8), channels=(("zscore", False),))).stages["3d_fullres"]
    for path in sorted((test_data / "Task04_Hippocampus" / "labelsTr").glob("hippocampus_*.nii.gz"))[:5]:
        truth = read_labels(path)
        image = read_image([test_data / "Task04_Hippocampus" / "imagesTr" / path.name])
        case = prepare(image, truth, made, stage, case_id=path.name)
        assert case.labels is not None
        one_hot = np.stack([case.labels == value for value in range(3)]).astype(np.float32)
        restored = restore_labels(one_hot, case.record, labels)
        for value in (1, 2):
            found, expected = restored == value, truth.array == value
            assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.95


def test_cases_of_other_plans_are_taken_over_without_a_copy(raw_folder: Path, plans: Plans, tmp_path: Path) -> None:
    first = prepare_all(raw_folder, plans, tmp_path / "plans_3d_fullres")
    second = prepare_all(raw_folder, plans, tmp_path / "deep_3d_fullres")
    assert contents(second.folder) == contents(first.folder)
    assert all(os.path.samefile(path, first.folder / path.name) for path in second.folder.iterdir())
    second.remove("case_0")
    assert first.case_ids() == ["case_0", "case_1", "case_2", "case_3"]


def test_cases_that_others_prepared_otherwise_are_left_there(
    raw_folder: Path, make_plans: MakePlans, tmp_path: Path
) -> None:
    coarse = make_plans((2.0, 2.0, 2.6), channels=(("zscore", False),))
    first = prepare_all(raw_folder, coarse, tmp_path / "plans_3d_fullres")
    fine = make_plans((1.0, 1.0, 1.3), channels=(("zscore", False),))
    second = prepare_all(raw_folder, fine, tmp_path / "deep_3d_fullres")
    assert first.image("case_0").shape != second.image("case_0").shape


def test_a_file_system_without_links_prepares_anew(
    raw_folder: Path, plans: Plans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare_all(raw_folder, plans, tmp_path / "plans_3d_fullres")

    def refuse(source: Path, target: Path) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    second = prepare_all(raw_folder, plans, tmp_path / "deep_3d_fullres")
    assert contents(second.folder) == contents(first.folder)
