from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import DatasetError, FileError
from autoseg.geometry import Box, Geometry
from autoseg.preprocessing.case import CaseRecord, PreparedCase
from autoseg.preprocessing.store import PredictedLabels, PreparedStore


def case(case_id: str = "a") -> PreparedCase:
    rng, shape, spacing = np.random.default_rng(0), (4, 5, 6), (1.0, 1.0, 1.0)
    facts = CaseRecord(case_id, Geometry(shape, spacing), (0, 1, 2), Box.whole(shape), shape, shape, spacing, spacing)
    return PreparedCase(rng.normal(size=(2, *shape)).astype(np.float32), rng.integers(0, 3, shape, np.int16), facts)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store, made = PreparedStore(tmp_path), case()
    foreground = {"file": np.array([[1, 2, 3]], np.int32), "b/ü": np.empty((0, 3), np.int32)}
    store.write(made, foreground)
    assert isinstance(store.image("a"), np.memmap)
    np.testing.assert_array_equal(store.image("a"), made.image)
    np.testing.assert_array_equal(store.labels("a"), made.labels)
    assert store.record("a") == made.record
    found = store.foreground("a")
    assert list(found) == list(foreground)
    for name, index in foreground.items():
        np.testing.assert_array_equal(found[name], index)


def test_cases_are_listed_in_order(tmp_path: Path) -> None:
    store = PreparedStore(tmp_path)
    for name in ("b.2", "a", "c"):
        store.write(case(name))
    assert store.case_ids() == ["a", "b.2", "c"]


@pytest.mark.parametrize("ending", [".npy", "_labels.npy", "_foreground.npz", ".json"])
def test_a_case_that_lacks_a_file_is_not_complete(tmp_path: Path, ending: str) -> None:
    store = PreparedStore(tmp_path)
    store.write(case(), made_from="x")
    assert store.is_made_from("a", "x")
    assert not store.is_made_from("a", "y")
    (tmp_path / f"a{ending}").unlink()
    assert not store.is_made_from("a", "x")


def test_a_case_without_labels_says_so(tmp_path: Path) -> None:
    store, made = PreparedStore(tmp_path), case()
    store.write(PreparedCase(made.image, None, made.record), made_from="x")
    assert store.is_made_from("a", "x")
    with pytest.raises(FileError, match=r"a_labels.npy: does not exist.*Prepare the dataset again"):
        store.labels("a")


def test_a_broken_array_is_an_error_that_names_it(tmp_path: Path) -> None:
    store = PreparedStore(tmp_path)
    store.write(case())
    (tmp_path / "a.npy").write_bytes(b"")
    with pytest.raises(FileError, match=r"a.npy: cannot be read"):
        store.image("a")


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match=r"a.npy: cannot be read"):
        PreparedStore(tmp_path).image("a")


@pytest.mark.parametrize("name", ["../a", "b/c", "..", ""])
def test_a_case_id_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="cannot be a file name"):
        PreparedStore(tmp_path).write(case(name))


def test_predicted_labels_round_trip(tmp_path: Path) -> None:
    predicted, labels = PredictedLabels(tmp_path / "new"), np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    assert predicted.made_by("a") is None
    predicted.write("a", labels, made_by="network")
    assert predicted.made_by("a") == "network"
    np.testing.assert_array_equal(predicted.read("a"), labels)
