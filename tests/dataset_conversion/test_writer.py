"""Writing raw datasets: layout, geometry, resuming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.checking import check_dataset
from autoseg.dataset import read_dataset
from autoseg.errors import DatasetError, FileError
from autoseg.geometry import Geometry
from autoseg.io import Volume, read_image, write_image, write_labels
from dataset_conversion.writer import CaseContent, DatasetFacts, SourceCase, write_dataset

GRID = Geometry((4, 5, 6), (3.0, 1.0, 1.0))
FACTS = DatasetFacts(("CT",), {"liver": 1}, {"name": "Test"})


def content(seed: int = 0, label_grid: Geometry = GRID) -> CaseContent:
    noise = np.random.default_rng(seed).standard_normal(GRID.shape).astype(np.float32)
    return CaseContent((Volume(noise, GRID),), Volume(np.ones(label_grid.shape, np.int16), label_grid))


def source_case(
    case_id: str, load: Callable[[], CaseContent] | None = None, part: str = "Tr", **facts: object
) -> SourceCase:
    return SourceCase(case_id, part, (), load or (lambda: content(ord(case_id[0]))), facts)


def modified(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*/*.nii.gz")}


def test_what_is_written_is_a_sound_dataset(tmp_path: Path) -> None:
    cases = [source_case("b"), source_case("a"), source_case("t", part="Ts")]
    write_dataset(tmp_path, cases, FACTS)
    dataset = read_dataset(tmp_path)
    assert [case.id for case in dataset.cases] == ["a", "b"]
    assert [case.id for case in dataset.test_cases] == ["t"]
    assert dataset.description["numTraining"] == 2
    assert dataset.description["name"] == "Test"
    assert check_dataset(dataset) == []


def test_what_was_not_contoured_is_recorded(tmp_path: Path) -> None:
    write_dataset(tmp_path, [replace(source_case("a"), not_contoured=("liver",))], FACTS)
    assert read_dataset(tmp_path).cases[0].not_contoured == ("liver",)


def test_files_that_are_right_are_copied_byte_by_byte(tmp_path: Path) -> None:
    image, label = tmp_path / "x.nii.gz", tmp_path / "y.nii.gz"
    write_image(image, content().images[0])  # type: ignore[arg-type]
    write_labels(label, content().label)  # type: ignore[arg-type]
    write_dataset(tmp_path / "raw", [source_case("a", lambda: CaseContent((image,), label))], FACTS)
    assert (tmp_path / "raw/imagesTr/a_0000.nii.gz").read_bytes() == image.read_bytes()
    assert (tmp_path / "raw/labelsTr/a.nii.gz").read_bytes() == label.read_bytes()


def test_files_of_another_format_are_rewritten_on_their_grid(tmp_path: Path) -> None:
    image, label = tmp_path / "x.nrrd", tmp_path / "y.mha"
    expected = content()
    write_image(image, expected.images[0])  # type: ignore[arg-type]
    write_labels(label, expected.label)  # type: ignore[arg-type]
    write_dataset(tmp_path / "raw", [source_case("a", lambda: CaseContent((image,), label))], FACTS)
    written = read_image([tmp_path / "raw/imagesTr/a_0000.nii.gz"])
    np.testing.assert_array_equal(written.array[0], expected.images[0].array)  # type: ignore[union-attr]
    assert written.geometry.matches(GRID)


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    write_dataset(tmp_path, [source_case("a"), source_case("b")], FACTS)
    before = modified(tmp_path)

    def fail() -> CaseContent:
        raise AssertionError("a complete case was loaded again")

    write_dataset(tmp_path, [source_case("a", fail), source_case("b", fail)], FACTS)
    assert modified(tmp_path) == before


def test_only_a_case_whose_source_changed_is_written_again(tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("one")
    changing = replace(source_case("a"), files=(source,))
    write_dataset(tmp_path / "raw", [changing, source_case("b")], FACTS)
    before = modified(tmp_path / "raw")
    source.write_text("two")
    write_dataset(tmp_path / "raw", [replace(changing, load=lambda: content(7)), source_case("b")], FACTS)
    after = modified(tmp_path / "raw")
    assert {name for name in after if after[name] != before[name]} == {"a_0000.nii.gz", "a.nii.gz"}


def test_a_case_whose_settings_changed_is_written_again(tmp_path: Path) -> None:
    write_dataset(tmp_path, [source_case("a", seed=1)], FACTS)
    before = (tmp_path / "imagesTr/a_0000.nii.gz").read_bytes()
    write_dataset(tmp_path, [source_case("a", lambda: content(9), seed=2)], FACTS)
    assert (tmp_path / "imagesTr/a_0000.nii.gz").read_bytes() != before


def test_a_file_that_vanished_or_shrank_is_written_again(tmp_path: Path) -> None:
    write_dataset(tmp_path, [source_case("a"), source_case("b")], FACTS)
    (tmp_path / "labelsTr/a.nii.gz").unlink()
    (tmp_path / "imagesTr/b_0000.nii.gz").write_bytes(b"cut")
    write_dataset(tmp_path, [source_case("a"), source_case("b")], FACTS)
    assert check_dataset(read_dataset(tmp_path)) == []


def test_a_case_that_left_the_source_is_removed(tmp_path: Path) -> None:
    write_dataset(tmp_path, [source_case("a"), source_case("b")], FACTS)
    write_dataset(tmp_path, [source_case("b")], FACTS)
    assert [case.id for case in read_dataset(tmp_path).cases] == ["b"]
    assert not (tmp_path / "labelsTr/a.nii.gz").exists()


def test_an_interrupted_run_leaves_no_dataset_json_and_is_continued(tmp_path: Path) -> None:
    def interrupt() -> CaseContent:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path, [source_case("a"), source_case("b", interrupt)], FACTS)
    assert not (tmp_path / "dataset.json").exists()
    before = modified(tmp_path)
    write_dataset(tmp_path, [source_case("a"), source_case("b")], FACTS)
    assert before.items() <= modified(tmp_path).items()
    assert len(read_dataset(tmp_path).cases) == 2


def test_a_change_takes_dataset_json_away_until_all_is_written(tmp_path: Path) -> None:
    write_dataset(tmp_path, [source_case("a"), source_case("b")], FACTS)

    def fail() -> CaseContent:
        raise FileError("x", "is broken.")

    with pytest.raises(DatasetError):
        write_dataset(tmp_path, [source_case("a", seed=1), source_case("b", fail, seed=1)], FACTS)
    assert not (tmp_path / "dataset.json").exists()


def test_all_cases_that_fail_are_named_and_the_others_are_kept(tmp_path: Path) -> None:
    shifted = replace(GRID, origin_mm=(5.0, 0.0, 0.0))
    cases = [
        source_case("a", lambda: content(label_grid=shifted)),
        source_case("b"),
        source_case("c", lambda: CaseContent(())),
    ]
    with pytest.raises(
        DatasetError, match=r"2 of 3 cases cannot.*\n  a: .*corner voxels 5 mm apart.*\n  c: It has 0 chan"
    ):
        write_dataset(tmp_path, cases, FACTS)
    assert (tmp_path / "imagesTr/b_0000.nii.gz").exists()


def test_a_missing_source_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nothing.nii.gz: does not exist"):
        write_dataset(tmp_path, [replace(source_case("a"), files=(tmp_path / "nothing.nii.gz",))], FACTS)


def test_a_dataset_of_another_origin_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(DatasetError, match="was not made by autoseg_convert"):
        write_dataset(tmp_path, [source_case("a")], FACTS)
    assert (tmp_path / "dataset.json").read_text() == "{}"


def test_a_name_for_training_and_testing_is_refused(tmp_path: Path) -> None:
    cases = [source_case("a"), replace(source_case("a"), part="Ts")]
    with pytest.raises(DatasetError, match="two cases called 'a', one for training and one for testing"):
        write_dataset(tmp_path, cases, FACTS)


def test_two_cases_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="two cases called 'a'"):
        write_dataset(tmp_path, [source_case("a"), source_case("a")], FACTS)


def test_a_source_without_training_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no training case"):
        write_dataset(tmp_path, [source_case("a", part="Ts")], FACTS)


def test_any_number_of_workers_writes_the_same(tmp_path: Path) -> None:
    for workers in (1, 3):
        write_dataset(tmp_path / str(workers), [source_case(c) for c in "abcd"], FACTS, workers=workers)
    for path in (tmp_path / "1").rglob("*.*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "3" / path.relative_to(tmp_path / "1")).read_bytes()
