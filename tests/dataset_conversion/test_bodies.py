"""The bodies of the sites: real sizes, the right sides, and organs that intensity alone does not find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.checking import check_dataset
from autoseg.dataset import read_dataset
from autoseg.fingerprint import measure_fingerprint
from autoseg.io import Volume
from autoseg.registry import resolve
from dataset_conversion.anatomy import Body, Lesions, Tissue, Variation
from dataset_conversion.bodies import BODIES
from dataset_conversion.bodies.liver import TUMOURS
from dataset_conversion.phantom import draw, write_phantom_dataset
from dataset_conversion.sites import SITES
from dataset_conversion.solids import Ellipsoid

Drawn = tuple[Body, list[tuple[Volume, Volume]]]
OF_SITES = (*SITES, "liver")
VOLUMES = {name: organ.volume for site in SITES.values() for organ in site.organs for name in organ.classes}


@pytest.fixture(scope="module", params=OF_SITES)
def drawn(request: pytest.FixtureRequest) -> Drawn:
    body = resolve("site", BODIES, request.param)
    return body, [draw(body, 7, number) for number in range(1, 4)]


def volume_ml(labels: Volume, value: int) -> float:
    return float((labels.array == value).sum() * np.prod(labels.geometry.spacing_mm) / 1000)


@pytest.mark.parametrize("site", SITES)
def test_a_body_has_organs_of_its_site_under_their_names(site: str) -> None:
    body = resolve("site", BODIES, site)
    assert set(body.classes) <= set(SITES[site].classes)
    assert set(SITES[site].classes[:4]) <= set(body.classes)


def test_every_organ_keeps_to_its_range(drawn: Drawn) -> None:
    body, patients = drawn
    for value, name in enumerate(body.classes, start=1):
        known = VOLUMES.get(name)
        assert known is not None or name == "tumour", name
        for _, labels in patients:
            measured = volume_ml(labels, value)
            assert known.low_ml <= measured <= known.high_ml if known else measured > 0.2, (name, measured)


def test_left_is_left_of_right_in_the_world_and_in_the_array(drawn: Drawn) -> None:
    body, patients = drawn
    lefts = [name for name in body.classes if name.endswith("_left")]
    for _, labels in patients:
        axis, grows = labels.geometry.left_right_axis()
        assert (axis, grows) == (2, False)
        for name in lefts:
            left, right = (
                np.argwhere(labels.array == body.classes.index(other) + 1).mean(0)
                for other in (name, name.replace("_left", "_right"))
            )
            assert left[axis] > right[axis] + 5
            assert labels.geometry.voxel_to_world(left)[0] < labels.geometry.voxel_to_world(right)[0] - 20


def test_single_organs_lie_on_their_own_side(drawn: Drawn) -> None:
    body, patients = drawn
    sides = {"liver": 1, "gallbladder": 1, "spleen": -1, "stomach": -1, "heart": -1}
    for name in set(sides) & set(body.classes):
        for _, labels in patients:
            centre = np.argwhere(labels.array == body.classes.index(name) + 1).mean(0)
            assert labels.geometry.voxel_to_world(centre)[0] * sides[name] > 5, name


def test_no_organ_is_found_by_intensity_alone(drawn: Drawn) -> None:
    body, patients = drawn
    for image, labels in patients:
        for value, name in enumerate(body.classes, start=1):
            inside = labels.array == value
            low, high = np.percentile(image.array[inside], [5, 95])
            found = (image.array >= low) & (image.array <= high)
            dice = 2 * (found & inside).sum() / (found.sum() + inside.sum())
            assert dice < (0.75 if name.startswith("lung") else 0.4), (name, dice)


def test_organs_are_inside_the_body_and_the_corners_are_air(drawn: Drawn) -> None:
    body, patients = drawn
    for image, labels in patients:
        assert abs(float(np.median(image.array[:, :4, :4])) + 1000) < 20
        assert image.geometry.spacing_mm[0] > 1.1 * image.geometry.spacing_mm[2]
        for value in range(1, len(body.classes) + 1):
            places = np.argwhere(labels.array == value)
            assert places[:, 1:].min() > 0
            assert (places[:, 1:].max(0) < np.array(labels.array.shape[1:]) - 1).all()


@pytest.mark.parametrize("site", OF_SITES)
def test_a_small_dataset_is_sound_and_its_pairs_are_found(tmp_path: Path, site: str) -> None:
    write_phantom_dataset(tmp_path, cases=2, site=site, shape=(32, 48, 56), workers=2)
    dataset = read_dataset(tmp_path)
    assert check_dataset(dataset) == []
    expected = tuple(pair for pair in SITES[site].pairs if pair[0] in dataset.labels.names) if site in SITES else ()
    assert set(measure_fingerprint(dataset).pairs) == set(expected)
    assert not any(case.not_contoured for case in dataset.cases)


def test_what_lies_within_an_organ_is_part_of_it_and_what_lies_over_it_is_not() -> None:
    ball = Tissue(40, (Ellipsoid((0, 0, 0), (30, 30, 30)),), "stomach", varies=False)
    gas = Tissue(-1000, (Ellipsoid((0, 0, 0), (15, 15, 15)), Ellipsoid((0, 0, 40), (9, 9, 9))), None, False, "stomach")
    front = Tissue(300, (Ellipsoid((0, 30, 0), (15, 15, 15)),), varies=False)
    (_, plain), (image, filled), (_, cut) = (
        draw(Body("balls", (100.0, 100.0, 100.0), (40, 40, 40), tissues), 0, 1)
        for tissues in ((ball,), (ball, gas), (ball, front))
    )
    np.testing.assert_array_equal(filled.array, plain.array)
    assert 0.05 < (image.array[filled.array == 1] < -500).mean() < 0.2
    assert 0.8 < (cut.array == 1).sum() / (plain.array == 1).sum() < 0.99


def test_tumours_differ_from_patient_to_patient_and_stay_within() -> None:
    random = np.random.default_rng(0)
    lesions = [TUMOURS.of_patient(random, Variation()) for _ in range(60)]
    assert {len(one.solids) for one in lesions} == {1, 2, 3, 4, 5}
    assert {one.within for one in lesions} == {"liver"}
    balls = [ball for one in lesions for ball in one.solids if isinstance(ball, Ellipsoid)]
    radii = np.array([ball.radii_mm[0] for ball in balls])
    assert TUMOURS.radius_mm[0] <= radii.min() < 6 < 20 < radii.max() <= TUMOURS.radius_mm[1]
    assert np.median(radii) == pytest.approx(np.sqrt(np.prod(TUMOURS.radius_mm)), rel=0.15)
    offsets = (np.array([ball.centre_mm for ball in balls]) - TUMOURS.around.centre_mm) / TUMOURS.around.radii_mm
    assert np.linalg.norm(offsets, axis=1).max() <= 0.7


def test_tumours_lie_in_the_liver() -> None:
    body = resolve("site", BODIES, "liver")
    assert body.classes == ("liver", "tumour")
    assert isinstance(body.tissues[-1], Lesions)
    without = Body(body.title, body.extent_mm, body.shape, body.tissues[:-1], body.pose, body.variation)
    for number in range(1, 4):
        _, labels = draw(body, 0, number, (32, 36, 52))
        _, plain = draw(without, 0, number, (32, 36, 52))
        np.testing.assert_array_equal(labels.array > 0, plain.array > 0)
        assert (labels.array == 2).any()
