from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Case, Dataset, read_dataset
from autoseg.errors import DatasetError, FormatError
from autoseg.fingerprint import (
    Fingerprint,
    Onlooker,
    measure_fingerprint,
    read_fingerprint,
    source_checksum,
    write_fingerprint,
)
from autoseg.geometry import Geometry
from autoseg.io import Volume, read_image, read_labels, write_image, write_labels

SHAPE = (12, 20, 30)
GEOMETRY = Geometry(SHAPE, (3.0, 1.0, 1.0), (5.0, -7.0, 11.0))


def draw(folder: Path, case_id: str, *, shift: int = 0, geometry: Geometry = GEOMETRY, lesion: bool = True) -> None:
    """Two channels, zero in the last 10 columns; a left and a right box, and a lesion of two parts."""
    image, labels = np.zeros((2, *SHAPE), np.float32), np.zeros(SHAPE, np.int16)
    image[0, :, :, :20], image[1, :, :, :20] = 100 + shift, 7
    labels[4:8, 8:12, 1:5], labels[4:8, 8:12, 15:19] = 1, 2
    if lesion:
        labels[0, 0, 0:2] = labels[0, 5, 0] = 3
    for channel in range(2):
        write_image(folder / "imagesTr" / f"{case_id}_{channel:04d}.nii.gz", Volume(image[channel], geometry))
    write_labels(folder / "labelsTr" / f"{case_id}.nii.gz", Volume(labels, geometry))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    folder = tmp_path / "Dataset007_Boxes"
    for case_id, shift, lesion in (("a", 0, True), ("b", 10, False), ("c", 20, False)):
        draw(folder, case_id, shift=shift, lesion=lesion)
    description = {
        "channel_names": {"0": "CT", "1": "T1"},
        "labels": {"background": 0, "box_left": 1, "box_right": 2, "lesion": 3, "never": 4},
        "numTraining": 3,
        "file_ending": ".nii.gz",
        "not_contoured": {"c": ["lesion"]},
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    return read_dataset(folder)


@pytest.fixture
def fingerprint(dataset: Dataset) -> Fingerprint:
    return measure_fingerprint(dataset)


def test_grids_are_measured_after_cropping(fingerprint: Fingerprint) -> None:
    case = fingerprint.cases["a"]
    assert case.spacing_mm == pytest.approx((3, 1, 1))
    assert case.shape == SHAPE
    assert case.cropped_shape == (12, 20, 20)
    assert fingerprint.median_relative_size == pytest.approx(2 / 3)


def test_class_volumes_components_and_boxes(fingerprint: Fingerprint) -> None:
    box, lesion = fingerprint.classes["box_left"], fingerprint.classes["lesion"]
    assert box.volume_mm3 is not None
    assert box.volume_mm3.median == pytest.approx(4 * 4 * 4 * 3)
    assert box.box_mm is not None
    assert [edge.median for edge in box.box_mm] == pytest.approx([12, 4, 4])
    assert lesion.components is not None
    assert lesion.components.maximum == 2


def test_prevalence_counts_contoured_cases_apart(fingerprint: Fingerprint) -> None:
    lesion = fingerprint.classes["lesion"]
    assert (lesion.present, lesion.contoured) == (1, 2)
    assert (lesion.prevalence, lesion.prevalence_of_contoured) == (pytest.approx(1 / 3), 0.5)
    assert fingerprint.classes["never"].volume_mm3 is None


def test_intensities_are_those_of_the_foreground(fingerprint: Fingerprint) -> None:
    first, second = fingerprint.intensities
    sizes = np.array([2 * 64 + 3, 2 * 64, 2 * 64])
    assert first.mean == pytest.approx((sizes * [100, 110, 120]).sum() / sizes.sum())
    assert (first.min, first.median, first.max) == (100, 110, 120)
    assert (second.mean, second.std) == (7, 0)


def test_pairs_are_confirmed_by_position(fingerprint: Fingerprint, dataset: Dataset) -> None:
    assert fingerprint.pairs == (("box_left", "box_right"),)
    assert fingerprint.left_right_axes == (2,)
    turned = Geometry(SHAPE, (3, 1, 1), direction=((0, 0, 1), (1, 0, 0), (0, 1, 0)))
    draw(dataset.folder, "a", geometry=turned)
    again = measure_fingerprint(dataset)
    assert again.left_right_axes == (2, 1)
    assert again.unconfirmed_pairs == (("box_left", "box_right"),)


@pytest.mark.parametrize("workers", [2, 5])
def test_the_number_of_workers_does_not_matter(dataset: Dataset, fingerprint: Fingerprint, workers: int) -> None:
    assert measure_fingerprint(dataset, workers=workers) == fingerprint


def test_what_an_onlooker_measured_is_not_read_again(dataset: Dataset, fingerprint: Fingerprint) -> None:
    onlooker = Onlooker.of(dataset)
    for case in dataset.cases[1:]:
        assert case.label is not None
        onlooker(case, read_image(case.images), read_labels(case.label))
        case.images[0].write_bytes(b"unreadable now")
    again = measure_fingerprint(dataset, onlooker=onlooker)
    assert again == fingerprint
    assert again.made_from != source_checksum(dataset), "files that changed meanwhile"
    assert list(again.cases) == list(fingerprint.cases)


def test_progress_is_told(dataset: Dataset) -> None:
    steps: list[tuple[int, int]] = []
    measure_fingerprint(dataset, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_voxels_that_nobody_annotated_do_not_count(dataset: Dataset) -> None:
    labels = replace(dataset.labels, classes={"box_left": (1,), "box_right": (2,)}, ignore=3)
    assert measure_fingerprint(replace(dataset, labels=labels)).intensities[0].mean == pytest.approx(110)


def test_a_fingerprint_survives_json(fingerprint: Fingerprint, tmp_path: Path) -> None:
    write_fingerprint(tmp_path / "fingerprint.json", fingerprint)
    assert read_fingerprint(tmp_path / "fingerprint.json") == fingerprint


def test_an_older_fingerprint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fingerprint.json").write_text('{"schema": 0}')
    with pytest.raises(FormatError, match="schema must be 2, not 0"):
        read_fingerprint(tmp_path / "fingerprint.json")


def test_a_changed_file_makes_it_stale(dataset: Dataset, fingerprint: Fingerprint) -> None:
    assert fingerprint.made_from == source_checksum(dataset)
    draw(dataset.folder, "b", shift=11)
    assert fingerprint.made_from != source_checksum(dataset)


def test_changed_labels_make_it_stale(dataset: Dataset, fingerprint: Fingerprint) -> None:
    labels = replace(dataset.labels, classes={"box": (1, 2)}, region_values=(1,))
    assert fingerprint.made_from != source_checksum(replace(dataset, labels=labels))


def test_no_cases_and_no_foreground_are_errors(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="has no training cases"):
        measure_fingerprint(replace(dataset, cases=()))
    empty = dataset.folder / "empty.nii.gz"
    write_labels(empty, Volume(np.zeros(SHAPE, np.int16), GEOMETRY))
    case: Case = replace(dataset.cases[0], label=empty)
    with pytest.raises(DatasetError, match="voxel of any class"):
        measure_fingerprint(replace(dataset, cases=(case,)))


def test_a_summary_is_enough_to_plan_with() -> None:
    made = Fingerprint.from_summary([[3, 1, 1]], [[10, 20, 30]], labels=3, channels=2)
    assert made.spacings.tolist() == [[3, 1, 1]]
    assert made.plain_labels.classes == {"class_1": (1,), "class_2": (2,)}
    assert len(made.intensities) == len(made.channels) == 2


@pytest.mark.real_data
def test_the_parotids_of_real_patients_are_a_pair(test_data: Path) -> None:
    from autoseg.measuring import CaseMeasure, measure_case
    from autoseg.symmetry import Placement, is_mirrored

    def measure(folder: Path) -> CaseMeasure:
        from autoseg.labels import Labels

        masks = {name: folder / "structures" / f"{name}.nii.gz" for name in ("LeftParotid", "RightParotid")}
        found = {
            name: measure_case(Case(name, (folder / "ct.nii.gz",), path), Labels({name: (1,)}), 1024)
            for name, path in masks.items()
        }
        first = found["LeftParotid"]
        return replace(first, classes={name: case.classes[name] for name, case in found.items()})

    folders = sorted(path.parent for path in (test_data / "head_neck_oar").rglob("ct.nii.gz"))[:3]
    classes = [measure(folder).classes for folder in folders]
    pairs = [(c["LeftParotid"], c["RightParotid"]) for c in classes]
    assert is_mirrored([Placement(a.centre_mm, b.centre_mm, a.volume_mm3, b.volume_mm3) for a, b in pairs])
