"""Pictures of cases: whole, of the worst classes, and with the patient the right way up however the file lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from autoseg.errors import FileError, GeometryError, OptionError
from autoseg.evaluation import EvaluationOptions, evaluate_folders
from autoseg.evaluation.case_picture import (
    MOST_CLASSES,
    CasePicture,
    find_image,
    upright,
    upright_spacing,
    worst_classes,
)
from autoseg.evaluation.scores import evaluate_case
from autoseg.geometry import Geometry
from autoseg.io import Volume, write_image
from autoseg.labels import Labels
from tests.evaluation.conftest import GEOMETRY

if TYPE_CHECKING:
    from tests.evaluation.conftest import Folders

LABELS = Labels({"liver": (1,), "tumour": (2,)})


def write_ramp(path: Path, geometry: Geometry = GEOMETRY) -> None:
    write_image(path, Volume(np.arange(np.prod(geometry.shape), dtype=np.float32).reshape(geometry.shape), geometry))


def picture(
    tmp_path: Path, array: np.ndarray, geometry: Geometry, image: np.ndarray, window: tuple[float, float] | None = None
) -> bytes:
    """The PNG of a case that is predicted perfectly."""
    volume = Volume(array, geometry)
    scores = evaluate_case(array, array, LABELS, geometry, surface=False)
    CasePicture("a", image, volume, volume, LABELS, scores, window).draw(tmp_path / "a.png")
    return (tmp_path / "a.png").read_bytes()


def test_every_case_gets_a_picture(folders: Folders, block: Callable[..., np.ndarray], tmp_path: Path) -> None:
    from PIL import Image

    folders.describe()
    for case, stop in (("a", 5), ("b", 3)):
        folders.add(case, block(stop), block(6))
    write_ramp(tmp_path / "images" / "a_0000.nii.gz")
    write_ramp(tmp_path / "images" / "b.nii.gz")
    options = EvaluationOptions(images=tmp_path / "images", picture_folder=tmp_path / "pictures", workers=2)
    report = evaluate_folders(folders.out, folders.labels, options)
    assert report == evaluate_folders(folders.out, folders.labels)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["a.png", "b.png"]
    pixels = np.asarray(Image.open(tmp_path / "pictures" / "a.png").convert("RGB")).astype(int)
    red, green, blue = np.moveaxis(pixels, -1, 0)
    assert ((green > 180) & (red < 100) & (blue < 120)).sum() > 50, "the reference's outline"
    assert ((red > 220) & (green < 130) & (blue < 140)).sum() > 50, "the prediction's outline"


def test_a_missing_image_is_named_before_anything_is_scored(
    folders: Folders, block: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    folders.add("a", block(5), block(5))
    (tmp_path / "images").mkdir()
    options = EvaluationOptions(images=tmp_path / "images", picture_folder=tmp_path / "pictures")
    with pytest.raises(FileError, match=r"images: has no image of a\..*a_0000\.nii\.gz"):
        evaluate_folders(folders.out, folders.labels, options)
    assert not (tmp_path / "pictures").exists()
    write_ramp(tmp_path / "images" / "a.nii.gz", Geometry(GEOMETRY.shape, (2.0, 1.0, 1.5)))
    with pytest.raises(GeometryError, match=r"images/a\.nii\.gz and .*a\.nii\.gz lie 3.5 mm apart.*reference's grid"):
        evaluate_folders(folders.out, folders.labels, options)
    assert not (tmp_path / "pictures").exists()
    with pytest.raises(FileError, match=r"nowhere: does not exist"):
        evaluate_folders(folders.out, folders.labels, replace(options, images=tmp_path / "nowhere"))


def test_one_file_is_the_image_of_one_case(tmp_path: Path) -> None:
    write_ramp(tmp_path / "any.nii.gz")
    assert find_image(tmp_path / "any.nii.gz", "a") == tmp_path / "any.nii.gz"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flipped", [(), (0,), (1, 2), (0, 1, 2)])
def test_it_is_the_same_however_the_file_lies(order: tuple[int, ...], flipped: tuple[int, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    array, image = np.zeros((6, 9, 12), np.int16), rng.normal(size=(6, 9, 12)).astype(np.float32)
    array[1:4, 2:7, 3:6] = 1
    plain = Geometry((6, 9, 12), (3.0, 1.0, 2.0), (5.0, -7.0, 11.0))
    directions, spacing, origin = list(plain.direction), plain.spacing_mm, np.array(plain.origin_mm)
    turned: list[np.ndarray] = [array, image]
    for axis in flipped:
        turned = [np.flip(one, axis) for one in turned]
        origin = origin + (array.shape[axis] - 1) * spacing[axis] * np.array(directions[axis])
        directions[axis] = tuple(-value for value in directions[axis])
    turned = [np.ascontiguousarray(one.transpose(order)) for one in turned]
    shape = turned[0].shape
    geometry = Geometry(
        shape, tuple(spacing[axis] for axis in order), tuple(origin), tuple(directions[a] for a in order)
    )
    np.testing.assert_array_equal(upright(turned[0], geometry), upright(array, plain))
    assert upright_spacing(geometry) == upright_spacing(plain) == (3.0, 1.0, 2.0)
    (tmp_path / "plain").mkdir()
    assert picture(tmp_path, turned[0], geometry, turned[1]) == picture(tmp_path / "plain", array, plain, image)


def test_axes_run_to_the_head_the_back_and_the_left() -> None:
    """The default grid grows to the head, to the front and to the right."""
    corner = np.zeros((2, 3, 4), np.int16)
    corner[1, 2, 3] = 1
    assert np.argwhere(upright(corner, Geometry((2, 3, 4), (1.0, 1.0, 1.0)))).tolist() == [[1, 0, 0]]


def test_the_worst_classes_are_shown() -> None:
    names = [f"organ{number}" for number in range(MOST_CLASSES + 2)]
    labels = Labels({name: (number + 1,) for number, name in enumerate(names)})
    reference = np.zeros((4, 20, 20), np.int16)
    for number in range(MOST_CLASSES + 1):
        reference[0, 2 * number, :] = number + 1
    prediction = reference.copy()
    prediction[0, 0, 5:] = 0
    scores = evaluate_case(prediction, reference, labels, Geometry((4, 20, 20), (1.0, 1.0, 1.0)), surface=False)
    shown = worst_classes(scores)
    assert shown[0] == "organ0"
    assert len(shown) == MOST_CLASSES
    assert names[-1] not in shown, "nowhere"


def test_without_any_class_there_is_no_picture_any_more(tmp_path: Path) -> None:
    empty = Volume(np.zeros(GEOMETRY.shape, np.int16), GEOMETRY)
    scores = evaluate_case(empty.array, empty.array, LABELS, GEOMETRY, surface=False)
    (tmp_path / "a.png").write_bytes(b"of before")
    CasePicture("a", np.zeros(GEOMETRY.shape), empty, empty, LABELS, scores).draw(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_what_nobody_annotated_is_not_drawn(tmp_path: Path) -> None:
    """The prediction of an ignored part looks like none there."""
    labels = Labels({"liver": (1,)}, ignore=3)
    image, reference = np.random.default_rng(0).normal(size=(6, 8, 8)), np.zeros((6, 8, 8), np.int16)
    reference[1:3, 2:5, 2:5], reference[4:] = 1, 3
    predicted = reference * (reference == 1)
    wild = predicted.copy()
    wild[4:] = 1
    geometry, drawn = Geometry((6, 8, 8), (5.0, 5.0, 5.0)), []
    for array in (predicted, wild):
        scores = evaluate_case(array, reference, labels, geometry, surface=False)
        volumes = Volume(array, geometry), Volume(reference, geometry)
        CasePicture("a", image, *volumes, labels, scores).draw(tmp_path / "a.png")
        drawn.append((tmp_path / "a.png").read_bytes())
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_no_numbers_do_not_blank_a_picture(tmp_path: Path, value: float) -> None:
    from PIL import Image

    array, image = np.zeros((6, 8, 8), np.int16), np.random.default_rng(0).normal(size=(6, 8, 8))
    array[2:4, 2:5, 2:5], image[0] = 1, value
    picture(tmp_path, array, Geometry((6, 8, 8), (5.0, 5.0, 5.0)), image)
    shades = np.unique(np.asarray(Image.open(tmp_path / "a.png").convert("L")))
    assert len(shades) > 100


@pytest.mark.parametrize(("window", "grey"), [((-100.0, 300.0), 128), ((0.0, 400.0), 64)])
def test_a_window_tells_what_is_black_and_what_is_white(tmp_path: Path, window: tuple[float, float], grey: int) -> None:
    from PIL import Image

    array, image = np.zeros((6, 8, 8), np.int16), np.full((6, 8, 8), 100.0)
    array[2:4, 2:5, 2:5] = 1
    picture(tmp_path, array, Geometry((6, 8, 8), (5.0, 5.0, 5.0)), image, window)
    shades = np.asarray(Image.open(tmp_path / "a.png").convert("L")).astype(int)
    assert (abs(shades - grey) <= 1).mean() > 0.2


BONE_LAST = {"windows": {"soft tissue": [-125, 225], "bone": [-500, 1300]}}


@pytest.mark.parametrize(
    ("described", "given", "expected"),
    [
        ({}, None, None),
        (BONE_LAST, None, (-125.0, 225.0)),
        (BONE_LAST, (-300.0, 300.0), (-300.0, 300.0)),
        ({}, (-300.0, 300.0), (-300.0, 300.0)),
    ],
)
def test_the_window_is_the_given_one_or_the_first_of_the_dataset(
    folders: Folders,
    block: Callable[..., np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    described: dict[str, Any],
    given: tuple[float, float] | None,
    expected: tuple[float, float] | None,
) -> None:
    drawn: list[tuple[float, ...] | None] = []
    monkeypatch.setattr(CasePicture, "draw", lambda picture, path: drawn.append(picture.window))
    folders.describe(**described)
    folders.add("a", block(5), block(6))
    write_ramp(tmp_path / "a.nii.gz")
    evaluate_folders(folders.out, folders.labels, EvaluationOptions(images=tmp_path, window=given))
    assert drawn == [expected]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": (-125.0, 225.0)}, "--window is of pictures.*Give --pictures"),
        ({"window": (225.0, -125.0), "images": Path()}, "--window must be two numbers, the smaller first"),
        ({"window": (225.0,), "images": Path()}, "--window must be two numbers"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        EvaluationOptions(**options)


def test_the_command_draws_them(folders: Folders, block: Callable[..., np.ndarray], tmp_path: Path) -> None:
    from autoseg.cli.evaluate import main

    folders.describe()
    folders.add("a", block(5), block(6))
    write_ramp(tmp_path / "images" / "a_0000.nii.gz")
    words = [str(folders.out), str(folders.labels), "--pictures", str(tmp_path / "images")]
    drawn = []
    for more in ([], ["--window=-100,500"]):
        assert main([*words, *more]) == 0
        drawn.append((folders.out / "pictures" / "a.png").read_bytes())
    assert drawn[0] != drawn[1]
