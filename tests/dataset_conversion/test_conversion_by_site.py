"""Patients whose organs are called otherwise, from folders of masks to a dataset: nothing is lost, nothing swapped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli.convert import main
from autoseg.dataset import read_dataset
from autoseg.io import Volume, read_labels, write_image, write_labels
from autoseg.registry import resolve
from dataset_conversion.bodies import BODIES
from dataset_conversion.organs import Organ
from dataset_conversion.phantom import draw
from dataset_conversion.sites import SITES

SHAPE = (48, 64, 56)


def tg263(organ: Organ) -> tuple[str, ...]:
    return organ.tg263_classes


def chinese(organ: Organ) -> tuple[str, ...]:
    return tuple(f"{side}{organ.chinese[0]}" for side in (("左", "右") if organ.paired else ("",)))


def clinical(organ: Organ) -> tuple[str, ...]:
    name = (*organ.spellings, organ.name)[0].upper()
    return tuple(f"{side}{name}" for side in (("LT ", "RT ") if organ.paired else ("",)))


def write_patient(folder: Path, site: str, number: int, names: Callable[[Organ], tuple[str, ...]]) -> dict[str, Volume]:
    """A phantom patient as a folder with a mask per organ, under other names. Returns the masks by class."""
    body = resolve("site", BODIES, site)
    image, labels = draw(body, 0, number, SHAPE)
    write_image(folder / "ct.nii.gz", image)
    called = {
        name: other for organ in SITES[site].organs for name, other in zip(organ.classes, names(organ), strict=True)
    }
    masks = {}
    for value, name in enumerate(body.classes, start=1):
        masks[name] = Volume((labels.array == value).astype(np.int16), labels.geometry)
        write_labels(folder / "structures" / f"{called[name]}.nii.gz", masks[name])
    return masks


def centre_x_mm(mask: np.ndarray, like: Volume) -> float:
    return float(like.geometry.voxel_to_world(np.argwhere(mask)).mean(0)[0])


@pytest.mark.parametrize("site", SITES)
def test_three_ways_to_call_the_organs_come_to_one_dataset(tmp_path: Path, site: str) -> None:
    patients = {
        name: write_patient(tmp_path / "in" / name, site, number, names)
        for number, (name, names) in enumerate((("a", tg263), ("b", chinese), ("c", clinical)), start=1)
    }
    assert main(["organ_masks", str(tmp_path / "in"), "-d", "11", "--site", site, "--root", str(tmp_path)]) == 0
    dataset = read_dataset(tmp_path / "raw" / "Dataset011_in")
    assert set(dataset.labels.names) == set(patients["a"])
    assert not any(case.not_contoured for case in dataset.cases)
    for name, masks in patients.items():
        labels = read_labels(dataset.folder / "labelsTr" / f"{name}.nii.gz")
        for organ, (value,) in dataset.labels.classes.items():
            np.testing.assert_array_equal(labels.array == value, masks[organ].array > 0)
        for left, right in SITES[site].pairs:
            if left in masks:
                sides = (labels.array == dataset.labels.classes[organ][0] for organ in (left, right))
                left_mm, right_mm = (centre_x_mm(mask, labels) for mask in sides)
                assert left_mm < right_mm - 20, (name, left)


@pytest.mark.real_data
def test_left_is_left_in_real_patients(test_data: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for patient in sorted((test_data / "head_neck_oar/train").iterdir())[:4]:
        (source / patient.name).symlink_to(patient)
    assert main(["organ_masks", str(source), "-d", "10", "--site", "head_neck", "--root", str(tmp_path)]) == 0
    dataset = read_dataset(tmp_path / "raw" / "Dataset010_in")
    for case in dataset.cases:
        labels = read_labels(dataset.folder / "labelsTr" / f"{case.id}.nii.gz")
        values = (dataset.labels.classes[name][0] for name in ("parotid_left", "parotid_right"))
        left_mm, right_mm = (centre_x_mm(labels.array == value, labels) for value in values)
        assert left_mm < right_mm - 40
