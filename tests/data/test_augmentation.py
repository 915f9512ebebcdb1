from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.data import augmentation
from autoseg.data.augmentation import IntensityChanges, lower_resolution, seeded_globals

IMAGE = np.random.default_rng(0).standard_normal((2, 8, 12, 10)).astype(np.float32)
NAMES = ["noise", "blur", "brightness", "contrast", "resolution", "inverted gamma", "gamma"]


def apply_only(name: str, image: np.ndarray, seed: int = 0) -> np.ndarray:
    change = IntensityChanges(1.0, in_plane=False).changes[NAMES.index(name)][1]
    return change(image.copy(), np.random.default_rng(seed))


def test_strength_zero_changes_nothing() -> None:
    changed = IntensityChanges(0.0, in_plane=False).apply(IMAGE.copy(), np.random.default_rng(0))
    np.testing.assert_array_equal(changed, IMAGE)


def test_probabilities_are_the_peers() -> None:
    changes = IntensityChanges(1.0, in_plane=False).changes
    assert [probability for probability, _ in changes] == [0.1, 0.2, 0.15, 0.15, 0.25, 0.1, 0.3]


@pytest.mark.parametrize("name", NAMES)
def test_every_change_changes_and_keeps_type_and_shape(name: str) -> None:
    changed = [apply_only(name, IMAGE, seed) for seed in range(4)]
    assert all(image.dtype == np.float32 and image.shape == IMAGE.shape for image in changed)
    assert any(not np.array_equal(image, IMAGE) for image in changed)
    assert all(np.isfinite(image).all() for image in changed)


@pytest.mark.parametrize("name", NAMES)
def test_every_change_is_a_function_of_the_sample_s_generator(name: str) -> None:
    first = apply_only(name, IMAGE, 3)
    random.seed(99)
    np.random.seed(99)
    np.testing.assert_array_equal(apply_only(name, IMAGE, 3), first)


@pytest.mark.parametrize("name", NAMES)
def test_every_change_bears_constant_images(name: str) -> None:
    assert np.isfinite(apply_only(name, np.full_like(IMAGE, 3.0))).all()


def test_gamma_keeps_mean_and_deviation() -> None:
    for name in ("gamma", "inverted gamma"):
        changed = apply_only(name, IMAGE)
        np.testing.assert_allclose(changed.mean((1, 2, 3)), IMAGE.mean((1, 2, 3)), atol=1e-5)
        np.testing.assert_allclose(changed.std((1, 2, 3)), IMAGE.std((1, 2, 3)), rtol=1e-4)


def test_contrast_stays_within_the_range() -> None:
    changed = apply_only("contrast", IMAGE, 5)
    assert (changed.max((1, 2, 3)) <= IMAGE.max((1, 2, 3))).all()
    assert (changed.min((1, 2, 3)) >= IMAGE.min((1, 2, 3))).all()


def test_noise_is_at_most_a_tenth() -> None:
    deviations = [(apply_only("noise", np.zeros_like(IMAGE), seed)).std() for seed in range(30)]
    assert 0.04 < np.mean(deviations) < 0.06
    assert max(deviations) < 0.11


def test_lower_resolution_in_plane_leaves_slices_apart() -> None:
    image = np.zeros((1, 6, 16, 16), np.float32)
    image[0, 3] = np.random.default_rng(0).standard_normal((16, 16))
    for seed in range(10):
        changed = lower_resolution(image.copy(), np.random.default_rng(seed), in_plane=True)
        assert not changed[0, [0, 1, 2, 4, 5]].any()


def test_lower_resolution_keeps_a_constant() -> None:
    np.testing.assert_allclose(lower_resolution(np.full_like(IMAGE, 2), np.random.default_rng(0), in_plane=False), 2)


def test_global_generators_are_left_as_they_were() -> None:
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    with seeded_globals(5):
        np.random.random()
        random.random()
    assert (random.random(), np.random.random()) == expected


def test_global_generators_are_put_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(image: np.ndarray, **_: Any) -> np.ndarray:
        raise ValueError("broken")

    np.random.seed(2)
    expected = np.random.random()
    np.random.seed(2)
    with pytest.raises(ValueError, match="broken"):
        augmentation._library(fail)(IMAGE, np.random.default_rng(0))
    assert np.random.random() == expected


def test_nothing_else_draws_from_the_global_generators() -> None:
    """A thread that makes batches seeds them for a moment: a draw elsewhere in that moment would change the batch."""
    owned = r"default_rng|Generator|RandomState|SeedSequence"
    draws = re.compile(rf"^(import random|from random import)|\bnp\.random\.(?!{owned})\w+", re.MULTILINE)
    root = Path(augmentation.__file__).parents[2]
    sources = [path for package in ("autoseg", "trainers", "planners") for path in (root / package).rglob("*.py")]
    found = {path.name for path in sources if draws.search(path.read_text(encoding="utf-8"))}
    assert found == {"augmentation.py"}
