"""The made-up data is what its names say."""

from pathlib import Path

import numpy as np

from autoseg.dataset import read_dataset
from autoseg.io import read_image, read_labels
from comparison.curves import Curve, draw_curves
from comparison.volumes import AIR_HU, ORGANS, draw_ct, write_ct_dataset, write_logits


def test_a_ct_is_a_body_in_air_with_its_organs() -> None:
    slabs = list(draw_ct((20, 48, 48), seed=0))
    image, labels = (np.concatenate(parts) for parts in zip(*slabs, strict=True))
    assert image.shape == labels.shape == (20, 48, 48)
    assert abs(np.median(image[:, 0, 0]) - AIR_HU) < 30
    assert set(np.unique(labels)) <= set(range(1 + len(ORGANS)))
    assert labels.any()
    assert image[labels > 0].min() > -100


def test_the_dataset_is_one_that_autoseg_reads_in_its_spacing(tmp_path: Path) -> None:
    write_ct_dataset(tmp_path / "Dataset300_SyntheticCT", (10, 24, 24), ((3.0, 0.78, 0.7), (2.0, 0.9, 0.9)))
    cases = read_dataset(tmp_path / "Dataset300_SyntheticCT").cases
    assert len(cases) == 2
    image, labels = read_image(cases[0].images), read_labels(cases[0].label)
    np.testing.assert_allclose(image.geometry.spacing_mm, (3.0, 0.78, 0.7), rtol=1e-6)
    assert image.geometry.matches(labels.geometry)


def test_logits_have_the_background_first_and_every_class_somewhere(tmp_path: Path) -> None:
    write_logits(tmp_path / "logits.npy", (24, 20, 20), 5, "float16")
    logits = np.load(tmp_path / "logits.npy")
    assert (logits.shape, logits.dtype) == ((6, 24, 20, 20), np.float16)
    assert not logits[0].any()
    assert (logits[1:].reshape(5, -1).max(axis=1) > 0).all()


def test_curves_are_drawn(tmp_path: Path) -> None:
    draw_curves(tmp_path / "curves.png", "title", (Curve("one", [(0.1, 0.0), (0.2, 0.5)], 9), Curve("other", [], 0)))
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
