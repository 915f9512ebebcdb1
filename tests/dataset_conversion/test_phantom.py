"""The phantom: where its organs are, how large, and that intensity alone does not find them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.checking import check_dataset
from autoseg.dataset import read_dataset
from autoseg.errors import OptionError
from autoseg.io import Volume
from dataset_conversion.bodies.head import HEAD
from dataset_conversion.phantom import draw, write_phantom_dataset

ORGANS = HEAD.classes
PATIENTS = range(1, 7)


@pytest.fixture(scope="module")
def patients() -> list[tuple[Volume, Volume]]:
    return [draw(HEAD, 3, number) for number in PATIENTS]


def mask(labels: Volume, organ: str) -> np.ndarray:
    return labels.array == ORGANS.index(organ) + 1


def centre_mm(labels: Volume, organ: str) -> np.ndarray:
    return labels.geometry.voxel_to_world(np.argwhere(mask(labels, organ))).mean(0)


def test_the_left_organ_lies_on_the_left_of_the_patient(patients: list[tuple[Volume, Volume]]) -> None:
    for _, labels in patients:
        for pair in ("eye", "parotid"):
            assert centre_mm(labels, f"{pair}_left")[0] < -5
            assert centre_mm(labels, f"{pair}_right")[0] > 5


def test_eyes_look_forward_and_are_above_the_jaw(patients: list[tuple[Volume, Volume]]) -> None:
    for _, labels in patients:
        assert centre_mm(labels, "eye_left")[1] > centre_mm(labels, "brainstem")[1]
        assert centre_mm(labels, "eye_left")[2] > centre_mm(labels, "mandible")[2]


def test_array_axes_run_against_the_world_in_plane(patients: list[tuple[Volume, Volume]]) -> None:
    geometry = patients[0][0].geometry
    assert geometry.left_right_axis() == (2, False)
    assert geometry.spacing_mm[0] > 1.7 * geometry.spacing_mm[1]


def test_no_organ_is_found_by_intensity_alone(patients: list[tuple[Volume, Volume]]) -> None:
    for image, labels in patients:
        for organ in ORGANS:
            inside = mask(labels, organ)
            low, high = np.percentile(image.array[inside], [5, 95])
            found = (image.array >= low) & (image.array <= high)
            assert 2 * (found & inside).sum() / (found.sum() + inside.sum()) < 0.4


def test_histograms_of_organ_and_surroundings_overlap(patients: list[tuple[Volume, Volume]]) -> None:
    bins = np.arange(-200, 1000, 20)
    for image, labels in patients:
        rest = np.histogram(image.array[labels.array == 0], bins)[0]
        for organ in ORGANS:
            own = np.histogram(image.array[mask(labels, organ)], bins)[0]
            assert np.minimum(own, rest).sum() > 0.9 * own.sum()


def test_organs_are_of_very_different_size(patients: list[tuple[Volume, Volume]]) -> None:
    sizes = [np.median([mask(labels, organ).sum() for _, labels in patients]) for organ in ORGANS]
    assert min(sizes) > 100
    assert max(sizes) > 5 * min(sizes)


def test_patients_differ(patients: list[tuple[Volume, Volume]]) -> None:
    assert len({image.geometry.spacing_mm for image, _ in patients}) == len(patients)
    assert np.std([centre_mm(labels, "brainstem") for _, labels in patients], axis=0).min() > 0.5


def test_body_in_air_with_noise(patients: list[tuple[Volume, Volume]]) -> None:
    image = patients[0][0].array
    corner = image[-6:, :8, :8]
    assert abs(corner.mean() + 1000) < 10
    assert 10 < corner.std() < 30
    assert 0.2 < (image > -300).mean() < 0.6
    neighbours = np.corrcoef(corner[:, :, :-1].ravel(), corner[:, :, 1:].ravel())[0, 1]
    assert neighbours > 0.3
    np.testing.assert_array_equal(image, np.round(image))


def test_equal_seeds_give_equal_files_and_others_do_not(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_phantom_dataset(tmp_path / name, cases=2, test_cases=1, seed=seed, shape=(10, 20, 20))
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").glob("*/*.nii.gz"))
    assert len(files) == 6
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert (tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes()


def test_the_dataset_is_sound(tmp_path: Path) -> None:
    write_phantom_dataset(tmp_path, cases=3, test_cases=1, seed=0)
    dataset = read_dataset(tmp_path)
    assert (len(dataset.cases), len(dataset.test_cases)) == (3, 1)
    assert dataset.labels.names == ORGANS
    assert dataset.channel_names == ("CT",)
    assert check_dataset(dataset) == []


def test_a_coarser_phantom_has_the_same_field_of_view() -> None:
    image, labels = draw(HEAD, 0, 1, (20, 40, 40))
    assert np.array(image.geometry.shape) @ np.array(image.geometry.spacing_mm) / 3 == pytest.approx(120, abs=4)
    assert len(np.unique(labels.array)) == len(ORGANS) + 1


@pytest.mark.parametrize("wrong", [{"cases": 0}, {"cases": 1, "test_cases": -1}, {"cases": 1, "seed": -1}])
def test_impossible_numbers_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="Cannot draw"):
        write_phantom_dataset(tmp_path, **wrong)  # type: ignore[arg-type]
