"""Every kind of finding, each by spoiling one thing in a sound dataset."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.checking import Finding, check_dataset
from autoseg.dataset import Case, Dataset, read_dataset
from autoseg.geometry import Geometry
from autoseg.io import Volume, read_image, read_labels

GRID = Geometry((4, 5, 6), (3.0, 1.0, 1.0))
ZEROS = np.zeros(GRID.shape, dtype=np.int16)


def only(dataset: Dataset) -> tuple[str, str, str]:
    """Severity, case and fact of the one finding."""
    (finding,) = check_dataset(dataset)
    assert finding.remedy
    return finding.severity, finding.case, finding.fact


def test_a_sound_dataset_has_no_findings(spoilable: Any) -> None:
    assert check_dataset(spoilable.read()) == []


def test_a_label_without_image(spoilable: Any) -> None:
    spoilable.label("d", ZEROS)
    assert only(spoilable.read()) == ("error", "d", "The label labelsTr/d.nii.gz has no image.")


def test_an_image_without_label(spoilable: Any) -> None:
    (spoilable.folder / "labelsTr/b.nii.gz").unlink()
    assert only(spoilable.read()) == ("error", "b", "The label b.nii.gz does not exist.")


def test_a_missing_channel(spoilable: Any) -> None:
    (spoilable.folder / "imagesTr/b_0000.nii.gz").unlink()
    assert only(spoilable.read()) == ("error", "b", "The image b_0000.nii.gz does not exist.")


def test_a_channel_too_many(spoilable: Any, noise: Callable[[int], np.ndarray]) -> None:
    spoilable.image("b", noise(50), channel=2)
    assert only(spoilable.read()) == ("error", "b", "It has 3 channels, but dataset.json declares 2.")


def test_a_channel_of_the_wrong_number(spoilable: Any) -> None:
    folder = spoilable.folder / "imagesTr"
    (folder / "b_0001.nii.gz").rename(folder / "b_0002.nii.gz")
    facts = [finding.fact for finding in check_dataset(spoilable.read())]
    assert facts == ["The image b_0001.nii.gz does not exist.", "It has 2 channels, but dataset.json declares 2."]


def test_an_image_without_channel_number(spoilable: Any) -> None:
    folder = spoilable.folder / "imagesTr"
    (folder / "x.nii.gz").write_bytes((folder / "b_0001.nii.gz").read_bytes())
    severity, _, fact = only(spoilable.read())
    assert (severity, fact) == ("error", "imagesTr/x.nii.gz has no channel number and is not read.")


def test_an_image_of_another_ending(spoilable: Any) -> None:
    (spoilable.folder / "imagesTr/notes.txt").touch()
    severity, _, fact = only(spoilable.read())
    assert (severity, fact) == (
        "warning",
        "imagesTr/notes.txt does not end in the file_ending .nii.gz and is not read.",
    )


def test_a_wrong_number_of_training_cases(spoilable: Any) -> None:
    severity, _, fact = only(spoilable.read(numTraining=5))
    assert (severity, fact) == ("warning", "dataset.json says numTraining 5, but 3 are there.")


def test_one_case_is_too_few(spoilable: Any) -> None:
    for path in spoilable.folder.glob("*Tr/[bc]*"):
        path.unlink()
    severity, _, fact = only(spoilable.read(numTraining=1))
    assert severity == "error"
    assert "1 training case; at least 2 are needed" in fact


def test_a_folder_without_cases(tmp_path: Path) -> None:
    values = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(values))
    assert "0 training cases" in only(read_dataset(tmp_path))[2]


def test_the_dataset_map_names_a_file_that_is_not_there(spoilable: Any) -> None:
    folder = spoilable.folder
    entry = {
        case_id: {
            "images": [f"imagesTr/{case_id}_000{c}.nii.gz" for c in range(2)],
            "label": f"labelsTr/{case_id}.nii.gz",
        }
        for case_id in "ab"
    }
    (folder / "imagesTr/b_0001.nii.gz").unlink()
    finding = only(spoilable.read(dataset=entry, numTraining=2))
    assert finding == ("error", "b", "The image b_0001.nii.gz does not exist.")


def test_the_dataset_map_names_too_few_channels(spoilable: Any) -> None:
    entry = {
        case_id: {"images": [f"imagesTr/{case_id}_0000.nii.gz"], "label": f"labelsTr/{case_id}.nii.gz"}
        for case_id in "ab"
    }
    facts = {finding.fact for finding in check_dataset(spoilable.read(dataset=entry, numTraining=2))}
    assert facts == {"It has 1 channel, but dataset.json declares 2."}


def test_a_label_of_another_shape(spoilable: Any) -> None:
    spoilable.label("b", np.ones((4, 5, 7), np.int16), grid=replace(GRID, shape=(4, 5, 7)))
    severity, case, fact = only(spoilable.read())
    assert (severity, case) == ("error", "b")
    assert "shape 4x5x6 against 4x5x7 voxels" in fact


def test_a_channel_of_another_spacing(spoilable: Any, noise: Callable[[int], np.ndarray]) -> None:
    spoilable.image("b", noise(1), channel=1, grid=replace(GRID, spacing_mm=(3.0, 1.0, 2.0)))
    severity, _, fact = only(spoilable.read())
    assert severity == "error"
    assert "spacing 3x1x1 against 3x1x2 mm" in fact


def test_a_flipped_label(spoilable: Any) -> None:
    axes = (GRID.direction[0], GRID.direction[1], (-1.0, 0.0, 0.0))
    spoilable.label("b", np.ones(GRID.shape, np.int16), grid=replace(GRID, direction=axes))
    severity, _, fact = only(spoilable.read())
    assert severity == "error"
    assert "other direction" in fact


@pytest.mark.parametrize(("shift_mm", "severity"), [(0.3, "error"), (0.2, "warning")])
def test_a_shifted_label(spoilable: Any, shift_mm: float, severity: str) -> None:
    spoilable.label("b", np.ones(GRID.shape, np.int16), grid=replace(GRID, origin_mm=(shift_mm, 0.0, 0.0)))
    found, _, fact = only(spoilable.read())
    assert found == severity
    assert f"corner voxels {shift_mm} mm apart" in fact


def test_a_shift_within_rounding_is_no_finding(spoilable: Any) -> None:
    spoilable.label("b", np.ones(GRID.shape, np.int16), grid=replace(GRID, origin_mm=(0.005, 0.0, 0.0)))
    assert check_dataset(spoilable.read()) == []


@pytest.mark.parametrize("name", ["imagesTr/b_0001.nii.gz", "labelsTr/b.nii.gz"])
def test_a_truncated_file(spoilable: Any, name: str) -> None:
    path = spoilable.folder / name
    path.write_bytes(path.read_bytes()[:-20])
    severity, case, fact = only(spoilable.read())
    assert (severity, case) == ("error", "b")
    assert fact.startswith(f"{name}: ")


def test_a_label_that_is_not_whole(spoilable: Any) -> None:
    spoilable.image("b", np.full(GRID.shape, 0.5, np.float32))
    (spoilable.folder / "imagesTr/b_0000.nii.gz").rename(spoilable.folder / "labelsTr/b.nii.gz")
    findings = check_dataset(spoilable.read())
    assert any(finding.fact.startswith("labelsTr/b.nii.gz") and "0.5" in finding.fact for finding in findings)


def test_values_that_are_not_declared(spoilable: Any) -> None:
    labels = np.zeros(GRID.shape, np.int16)
    labels[0, 0, :3], labels[0, 1, :2] = 7, -1
    labels[1] = 1
    spoilable.label("b", labels)
    severity, case, fact = only(spoilable.read())
    assert (severity, case) == ("error", "b")
    assert "does not declare: -1, 7 (voxels: 5)" in fact


def test_the_ignore_label_is_declared(spoilable: Any) -> None:
    labels = np.ones(GRID.shape, np.int16)
    labels[0] = 3
    spoilable.label("b", labels)
    assert check_dataset(spoilable.read(labels={"background": 0, "liver": 1, "tumour": 2, "ignore": 3})) == []


@pytest.mark.parametrize(
    ("value", "fact"), [(np.nan, "holds 2 NaN and 0 infinite"), (-np.inf, "holds 0 NaN and 2 infinite")]
)
def test_voxels_that_are_not_finite(
    spoilable: Any, noise: Callable[[int], np.ndarray], value: float, fact: str
) -> None:
    image = noise(70)
    image[1, 2, 3:5] = value
    spoilable.image("b", image, channel=1)
    severity, case, found = only(spoilable.read())
    assert (severity, case, found) == ("error", "b", f"b_0001.nii.gz {fact} voxels.")


def test_an_empty_label(spoilable: Any) -> None:
    spoilable.label("b", ZEROS)
    assert only(spoilable.read()) == ("warning", "b", "The label is empty.")


def test_a_class_that_no_case_has(spoilable: Any) -> None:
    for case_id in "abc":
        spoilable.label(case_id, np.ones(GRID.shape, np.int16))
    severity, case, fact = only(spoilable.read())
    assert (severity, case, fact) == ("warning", "(dataset)", "No training case holds the class tumour.")


def test_no_class_at_all_is_an_error(spoilable: Any) -> None:
    for case_id in "abc":
        spoilable.label(case_id, ZEROS)
    first = check_dataset(spoilable.read())[0]
    assert (first.severity, first.fact) == ("error", "No case holds any class: there is nothing to learn.")


def test_a_region_is_held_by_any_of_its_values(spoilable: Any) -> None:
    labels = {"background": 0, "both": [1, 2], "tumour": 2}
    for case_id in "abc":
        spoilable.label(case_id, np.full(GRID.shape, 2, np.int16))
    dataset = spoilable.read(labels=labels, regions_class_order=[1, 2])
    assert check_dataset(dataset) == []


def test_identical_images_under_two_ids(spoilable: Any, noise: Callable[[int], np.ndarray]) -> None:
    for channel in range(2):
        spoilable.image("c", noise(channel), channel=channel)
    assert only(spoilable.read()) == ("warning", "c", "Its images are identical to those of a.")


def test_identical_images_of_one_patient_share_a_fold_anyway(
    spoilable: Any, noise: Callable[[int], np.ndarray]
) -> None:
    for channel in range(2):
        spoilable.image("c", noise(channel), channel=channel)
    assert check_dataset(spoilable.read(patients={"a": "p", "c": "p"})) == []


def test_a_test_image_among_the_training_images(spoilable: Any) -> None:
    folder = spoilable.folder
    (folder / "imagesTs/t_0000.nii.gz").write_bytes((folder / "imagesTr/b_0000.nii.gz").read_bytes())
    assert only(spoilable.read()) == ("warning", "t", "Its image is byte-identical to the training case b.")


def test_one_constant_channel_is_a_warning(spoilable: Any) -> None:
    spoilable.image("b", np.full(GRID.shape, 4, np.float32), channel=1)
    assert only(spoilable.read()) == ("warning", "b", "b_0001.nii.gz is constant.")


def test_all_channels_constant_is_an_error(spoilable: Any) -> None:
    for channel in range(2):
        spoilable.image("b", np.full(GRID.shape, channel, np.float32), channel=channel)
    findings = check_dataset(spoilable.read())
    assert findings[0] == Finding("error", "b", "All its images are constant.", "Replace or remove the case.")
    assert len(findings) == 3


def test_a_class_that_is_there_though_not_contoured(spoilable: Any) -> None:
    severity, case, fact = only(spoilable.read(not_contoured={"b": ["tumour"]}))
    assert (severity, case) == ("warning", "b")
    assert fact == "tumour is listed as not contoured, but the label holds it."


@pytest.mark.parametrize("key", ["not_contoured", "patients"])
def test_facts_about_a_case_that_is_not_there(spoilable: Any, key: str) -> None:
    value: Any = ["liver"] if key == "not_contoured" else "p"
    assert only(spoilable.read(**{key: {"z": value}})) == ("warning", "z", f"{key} names a case that is not there.")


def test_a_broken_test_case_is_a_warning(spoilable: Any) -> None:
    path = spoilable.folder / "imagesTs/t_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:100])
    assert only(spoilable.read())[:2] == ("warning", "t")


def test_a_test_label_without_image(spoilable: Any) -> None:
    spoilable.label("u", ZEROS, part="Ts")
    assert only(spoilable.read())[:2] == ("warning", "u")


def test_errors_come_first_and_any_number_of_workers_finds_the_same(spoilable: Any) -> None:
    spoilable.label("a", ZEROS)
    spoilable.label("c", np.full(GRID.shape, 9, np.int16))
    dataset = spoilable.read(numTraining=9)
    findings = check_dataset(dataset, 1)
    assert [finding.severity for finding in findings] == ["error", "warning", "warning"]
    assert check_dataset(dataset, 3) == findings


def test_progress_counts_the_cases(spoilable: Any) -> None:
    calls: list[tuple[int, int]] = []
    check_dataset(spoilable.read(), 2, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.real_data
def test_volumes_with_infinity_are_found(test_data: Path, tmp_path: Path) -> None:
    source = test_data / "spinal_cord_anisotropic" / "mt" / "mtr.nii.gz"
    for case_id in "ab":
        (tmp_path / "imagesTr").mkdir(exist_ok=True)
        (tmp_path / f"imagesTr/{case_id}_0000.nii.gz").write_bytes(source.read_bytes())
    values = {"channel_names": {"0": "MTR"}, "labels": {"background": 0, "cord": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(values))
    facts = [finding.fact for finding in check_dataset(read_dataset(tmp_path))]
    assert any("infinite voxels" in fact for fact in facts)


def test_an_id_of_a_training_and_of_a_test_case(spoilable: Any) -> None:
    folder = spoilable.folder
    (folder / "imagesTs/b_0000.nii.gz").write_bytes((folder / "imagesTs/t_0000.nii.gz").read_bytes())
    (folder / "imagesTs/b_0001.nii.gz").write_bytes((folder / "imagesTs/t_0001.nii.gz").read_bytes())
    severity, case, fact = only(spoilable.read())
    assert (severity, case) == ("warning", "b")
    assert "id of a training case and of a test case" in fact


def test_sound_cases_of_one_channel_can_be_looked_at_meanwhile(spoilable: Any) -> None:
    seen: dict[str, tuple[Any, Any]] = {}

    def look(case: Case, image: Volume, label: Volume) -> None:
        seen[case.id] = image.array, label.array

    check_dataset(spoilable.read(), look=look)
    assert seen == {}, "two channels are read one after the other"
    for path in spoilable.folder.rglob("*_0001.nii.gz"):
        path.unlink()
    spoilable.label("c", np.full(GRID.shape, 99, dtype=np.int16))
    dataset = spoilable.read(channel_names={"0": "T1"})
    check_dataset(dataset, workers=2, look=look)
    assert sorted(seen) == ["a", "b"]
    for case in dataset.cases[:2]:
        assert case.label is not None
        np.testing.assert_array_equal(seen[case.id][0], read_image(case.images).array)
        np.testing.assert_array_equal(seen[case.id][1], read_labels(case.label).array)
