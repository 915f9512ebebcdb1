"""Folders of patients with a mask per organ."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.checking import check_dataset
from autoseg.dataset import read_dataset
from autoseg.errors import DatasetError, FileError, OptionError
from autoseg.geometry import Geometry
from autoseg.io import Volume, read_labels, write_image, write_labels
from dataset_conversion.mask_names import MaskNames
from dataset_conversion.organ_masks import MaskLayout, OrganMasksConverter, convert_organ_masks
from dataset_conversion.sites import SITES

GRID = Geometry((3, 4, 5), (2.0, 1.0, 1.0))
Organs = dict[str, tuple[int, int]]
BOTH: Organs = {"Cord": (0, 2), "Liver": (0, 5)}


def make_patient(
    folder: Path, organs: Organs, *, value: int = 1, grid: Geometry = GRID, masks: str = "structures"
) -> Path:
    """A CT of noise and masks that fill the columns x from start to stop."""
    noise = np.random.default_rng(len(str(folder))).standard_normal(GRID.shape).astype(np.float32)
    write_image(folder / "ct.nii.gz", Volume(noise + sum(folder.name.encode()), GRID))
    for name, (start, stop) in organs.items():
        mask = np.zeros(GRID.shape, np.int16)
        mask[:, :, start:stop] = value
        write_labels(folder / masks / f"{name}.nii.gz", Volume(mask, grid))
    return folder


def labels_of(raw: Path, case_id: str, part: str = "Tr") -> list[int]:
    """The labels along x of one line."""
    return read_labels(raw / f"labels{part}" / f"{case_id}.nii.gz").array[0, 0].tolist()


def test_train_and_test_folders(tmp_path: Path) -> None:
    for name in ("train/p1", "train/p2", "test/p3"):
        make_patient(tmp_path / "in" / name, BOTH)
    convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout())
    dataset = read_dataset(tmp_path / "raw")
    assert [case.id for case in dataset.cases] == ["p1", "p2"]
    assert [case.id for case in dataset.test_cases] == ["p3"]
    assert dataset.labels.classes == {"Cord": (1,), "Liver": (2,)}
    assert dataset.channel_names == ("CT",)
    assert check_dataset(dataset) == []


def test_a_flat_folder_is_all_training(tmp_path: Path) -> None:
    for name in ("p1", "p2", ".hidden"):
        make_patient(tmp_path / "in" / name, BOTH)
    convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout())
    assert [case.id for case in read_dataset(tmp_path / "raw").cases] == ["p1", "p2"]


def test_the_smaller_organ_is_on_top_and_priority_overrules(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/p1", {"Aorta": (0, 5), "Cord": (0, 2)})
    convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout())
    assert labels_of(tmp_path / "raw", "p1") == [2, 2, 1, 1, 1]
    convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout(priority=("Aorta",)))
    assert labels_of(tmp_path / "raw", "p1") == [1, 1, 1, 1, 1]


def test_the_first_in_priority_is_on_top_of_the_second(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/p1", {"A": (0, 3), "B": (1, 4), "C": (2, 5)})
    convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout(priority=("B", "C")))
    assert labels_of(tmp_path / "raw", "p1") == [1, 2, 2, 2, 3]


def test_equal_sizes_are_settled_by_name(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/p1", {"B": (1, 4), "A": (0, 3)})
    convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout())
    assert labels_of(tmp_path / "raw", "p1") == [1, 1, 1, 2, 0]


def test_a_missing_organ_is_not_contoured(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/train/p1", BOTH)
    make_patient(tmp_path / "in/train/p2", {"Liver": (0, 5)})
    make_patient(tmp_path / "in/test/p3", {"Cord": (0, 1)})
    convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout())
    dataset = read_dataset(tmp_path / "raw")
    assert [case.not_contoured for case in dataset.cases] == [(), ("Cord",)]
    assert dataset.test_cases[0].not_contoured == ("Liver",)
    assert labels_of(tmp_path / "raw", "p2") == [2, 2, 2, 2, 2]


def test_an_empty_mask_was_looked_for(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/p1", {"Cord": (0, 0), "Liver": (0, 5)})
    convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout())
    assert read_dataset(tmp_path / "raw").cases[0].not_contoured == ()


def test_masks_of_255_beside_the_image(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/p1", BOTH, value=255, masks=".")
    convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout(masks="."))
    assert labels_of(tmp_path / "raw", "p1") == [1, 1, 2, 2, 2]


def test_aliases_and_a_choice_of_organs(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/p1", {"LeftParotid": (0, 1), "Liver": (1, 2), "Cord": (2, 3)})
    make_patient(tmp_path / "in/p2", {"parotid_l": (0, 1), "Liver": (1, 2)})
    names = MaskNames({"LeftParotid": "Parotid_L", "parotid_l": "Parotid_L"})
    layout = MaskLayout(names=names, organs=("Parotid_L", "Cord"))
    convert_organ_masks(tmp_path / "in", tmp_path / "raw", layout)
    dataset = read_dataset(tmp_path / "raw")
    assert dataset.labels.classes == {"Parotid_L": (1,), "Cord": (2,)}
    assert labels_of(tmp_path / "raw", "p1") == [1, 0, 2, 0, 0]
    assert dataset.case("p2").not_contoured == ("Cord",)


def test_two_files_of_one_organ_are_refused(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/p1", {"A": (0, 1), "B": (1, 2)})
    with pytest.raises(DatasetError, match=r"A.nii.gz and B.nii.gz are both X"):
        convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout(names=MaskNames({"A": "X", "B": "X"})))


def test_a_mask_on_another_grid_is_named(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/p1", BOTH, grid=replace(GRID, origin_mm=(9.0, 0.0, 0.0)))
    with pytest.raises(DatasetError, match=r"p1: .*Cord.nii.gz does not lie on the grid.*9 mm apart"):
        convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout())


def test_a_mask_of_several_values_is_named(tmp_path: Path) -> None:
    folder = make_patient(tmp_path / "in/p1", BOTH)
    several = np.arange(np.prod(GRID.shape), dtype=np.int16).reshape(GRID.shape) % 3
    write_labels(folder / "structures/Cord.nii.gz", Volume(several, GRID))
    with pytest.raises(DatasetError, match=r"Cord.nii.gz: is not a mask: it holds the values \[0, 1, 2\]"):
        convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout())


def test_a_patient_without_image_is_named(tmp_path: Path) -> None:
    (make_patient(tmp_path / "in/p1", BOTH) / "ct.nii.gz").unlink()
    with pytest.raises(DatasetError, match=r"p1: .*ct.nii.gz: does not exist"):
        convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout())


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (MaskLayout(organs=("Spleen",)), "--organs names 'Spleen', which no patient has. Found: Cord, Liver"),
        (MaskLayout(priority=("Spleen",)), "--priority names 'Spleen'"),
    ],
)
def test_an_organ_that_no_patient_has(tmp_path: Path, layout: MaskLayout, message: str) -> None:
    make_patient(tmp_path / "in/p1", BOTH)
    with pytest.raises(OptionError, match=message):
        convert_organ_masks(tmp_path / "in", tmp_path / "raw", layout)


def test_a_source_without_patients_or_masks_or_at_all(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(DatasetError, match="no folder of a patient"):
        convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout())
    make_patient(tmp_path / "in/p1", {})
    with pytest.raises(DatasetError, match="No patient has a mask in structures/"):
        convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout())
    with pytest.raises(FileError, match="is not a folder"):
        convert_organ_masks(tmp_path / "nowhere", tmp_path / "raw", MaskLayout())


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    OrganMasksConverter().add_arguments(parser)
    return argparse.Namespace(**vars(parser.parse_args(arguments)), workers=1)


def test_the_options_of_the_command(tmp_path: Path) -> None:
    folder = make_patient(tmp_path / "in/p1", {"LeftParotid": (0, 2), "Liver": (0, 5)})
    (folder / "ct.nii.gz").rename(folder / "t1.nii.gz")
    options = parse("--image", "t1.nii.gz", "--alias", "Parotid_L=LeftParotid.nii.gz, Left", "--priority", "Liver")
    OrganMasksConverter().convert(tmp_path / "in", tmp_path / "raw", options, None)
    dataset = read_dataset(tmp_path / "raw")
    assert dataset.channel_names == ("T1",)
    assert dataset.labels.classes == {"Liver": (1,), "Parotid_L": (2,)}
    assert labels_of(tmp_path / "raw", "p1") == [1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--alias", "LeftParotid"), "is not like Parotid_L=LeftParotid"),
        (("--alias", "A=x", "--alias", "B=x"), "gives 'x' to both A and B"),
        (("--image", "a.nii.gz", "--image", "b.nii.gz", "--channel-name", "CT"), "2 images and 1 channel names"),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        OrganMasksConverter().convert(tmp_path, tmp_path / "raw", parse(*arguments), None)


THORAX = MaskLayout(names=MaskNames(site=SITES["thorax"]))
RIGHT, LEFT = (0, 2), (3, 5)


def test_a_site_knows_its_organs_in_whatever_spelling(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/p1", {"Lung_R": RIGHT, "Lung_L": LEFT, "Oesophagus": (2, 3)})
    make_patient(tmp_path / "in/p2", {"右肺": RIGHT, "左肺": LEFT, "食管": (2, 3)})
    make_patient(tmp_path / "in/p3", {"RightLung": RIGHT, "LUNG LT": LEFT, "esophagus": (2, 3)})
    convert_organ_masks(tmp_path / "in", tmp_path / "raw", THORAX)
    dataset = read_dataset(tmp_path / "raw")
    assert dataset.labels.classes == {"lung_left": (1,), "lung_right": (2,), "esophagus": (3,)}
    assert [labels_of(tmp_path / "raw", name) for name in ("p1", "p2", "p3")] == [[2, 2, 3, 1, 1]] * 3
    assert not any(case.not_contoured for case in dataset.cases)


def test_the_windows_of_a_site_are_those_of_its_ct(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/p1", {"Heart": (0, 2)})
    for name, layout in (("ct", THORAX), ("mr", replace(THORAX, channel_names=("T1",))), ("own", MaskLayout())):
        convert_organ_masks(tmp_path / "in", tmp_path / name, layout)
    written = {name: read_dataset(tmp_path / name).description.get("windows", {}) for name in ("ct", "mr", "own")}
    assert written == {
        "ct": {"mediastinum": [-125, 225], "lung": [-1350, 150], "bone": [-500, 1300]},
        "mr": {},
        "own": {},
    }
    assert next(iter(written["ct"])) == "mediastinum"


def test_a_site_says_what_it_leaves_out_and_what_nobody_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_patient(tmp_path / "in/p1", {"Heart": (0, 2), "PTV_60": (0, 5), "Oesaphagus": (2, 3)})
    make_patient(tmp_path / "in/p2", {"Herz": (0, 2), "PTV_60": (0, 5)})
    with caplog.at_level("INFO"):
        convert_organ_masks(tmp_path / "in", tmp_path / "raw", THORAX)
    table, dropped = (record.getMessage() for record in caplog.records)
    assert table.splitlines() == [
        "These masks are no organ of the site thorax by their names, and are left out:",
        "  mask        patients  called alike",
        "  Herz               1  -",
        "  Oesaphagus         1  esophagus",
        "  PTV_60             2  -",
        "What one of them is can be said with --alias esophagus=Oesaphagus; an ORGAN of another name becomes a class of"
        " its own.",
    ]
    assert dropped.startswith("No patient has a mask of spinal_cord, lung_left, lung_right, esophagus, trachea,")
    assert read_dataset(tmp_path / "raw").labels.names == ("heart",)
    assert read_dataset(tmp_path / "raw").case("p2").not_contoured == ("heart",)


def test_aliases_overrule_a_site(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/p1", {"Herz": (0, 2), "PTV_60": (2, 4), "Lung L+R": (4, 5)})
    aliases = {"Herz": "HEART", "PTV_60": "target", "Lung L+R": "lungs"}
    convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout(names=MaskNames(aliases, SITES["thorax"])))
    assert read_dataset(tmp_path / "raw").labels.classes == {"heart": (1,), "lungs": (2,), "target": (3,)}
    assert labels_of(tmp_path / "raw", "p1") == [1, 1, 3, 3, 2]


def test_a_name_of_two_organs_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/p1", {"Heart": (0, 2), "Lung L+R": (2, 5)})
    with pytest.raises(DatasetError, match=r"The mask 'Lung L\+R' may be lung_left or lung_right") as caught:
        convert_organ_masks(tmp_path / "in", tmp_path / "raw", THORAX)
    assert "--alias lung_left=Lung L+R" in str(caught.value.remedy)
    assert not (tmp_path / "raw").exists()


def test_two_spellings_of_one_organ_in_a_patient_are_refused(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/p1", {"Heart": (0, 2), "心脏": (2, 5)})
    with pytest.raises(DatasetError, match=r"Heart.nii.gz and 心脏.nii.gz are both heart"):
        convert_organ_masks(tmp_path / "in", tmp_path / "raw", THORAX)


def test_masks_of_another_site_are_refused(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/p1", {"Liver": (0, 2)})
    with pytest.raises(DatasetError, match="No mask is of an organ of the site thorax"):
        convert_organ_masks(tmp_path / "in", tmp_path / "raw", THORAX)


def test_the_option_of_a_site(tmp_path: Path) -> None:
    make_patient(tmp_path / "in/p1", {"肝脏": (0, 3), "KIDNEY R": (3, 5)})
    options = parse("--site", "abdomen", "--priority", "liver", "--organs", "liver,kidney_right")
    OrganMasksConverter().convert(tmp_path / "in", tmp_path / "raw", options, None)
    assert read_dataset(tmp_path / "raw").labels.classes == {"liver": (1,), "kidney_right": (2,)}
    assert labels_of(tmp_path / "raw", "p1") == [1, 1, 1, 2, 2]


@pytest.mark.real_data
def test_spellings_of_public_patients(test_data: Path) -> None:
    found = [
        {SITES["head_neck"].find(path.name.partition(".")[0]) for path in test_data.glob(pattern)}
        for pattern in ("head_neck_oar/*/*/structures/*", "head_neck_two_readers/*/*/segmentations/*")
    ]
    assert () not in found[0]
    assert len(found[0]) == 7
    unknown = {"Lung-Lt", "Lung-Rt", "Orbit-Lt", "Orbit-Rt", "Spinal-Canal"}
    names = {path.stem for path in test_data.glob("head_neck_two_readers/*/*/segmentations/*")}
    assert {name for name in names if not SITES["head_neck"].find(name)} == unknown
    assert len(found[1] - {()}) == len(names) - len(unknown)


@pytest.mark.real_data
def test_head_and_neck_patients(test_data: Path, tmp_path: Path) -> None:
    source = tmp_path / "in/train"
    source.mkdir(parents=True)
    for name in ("hn_002", "hn_004"):
        (source / name).symlink_to(test_data / "head_neck_oar/train" / name)
    convert_organ_masks(tmp_path / "in", tmp_path / "raw", MaskLayout(), workers=2)
    dataset = read_dataset(tmp_path / "raw")
    assert dataset.labels.names[0] == "Brainstem"
    assert [case.not_contoured for case in dataset.cases] == [("Larynx",), ()]
    assert check_dataset(dataset) == []
