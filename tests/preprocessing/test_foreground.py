from __future__ import annotations

import numpy as np

from autoseg.labels import Labels
from autoseg.preprocessing.foreground import ANNOTATED, sample_foreground


def test_every_voxel_of_a_small_class_is_listed(labels: Labels) -> None:
    array = np.zeros((6, 7, 8), np.int16)
    array[1:3, 2:5, 4] = 2
    found = sample_foreground(array, labels)
    np.testing.assert_array_equal(found["two"], np.argwhere(array == 2))
    assert found["one"].shape == (0, 3)
    assert found["two"].dtype == np.int32


def test_a_large_class_is_sampled_without_repetition() -> None:
    found = sample_foreground(np.ones((30, 40, 50), np.int16), Labels({"one": (1,)}))["one"]
    assert len(found) == 10_000
    assert len(np.unique(found, axis=0)) == 10_000
    np.testing.assert_allclose(found.mean(axis=0), [14.5, 19.5, 24.5], atol=0.6)


def test_one_in_a_hundred_of_a_very_large_class() -> None:
    assert len(sample_foreground(np.ones((101, 100, 101), np.int16), Labels({"one": (1,)}))["one"]) == 10_201


def test_the_sample_is_repeatable_and_lies_in_its_class(labels: Labels) -> None:
    array = np.random.default_rng(0).integers(0, 4, size=(40, 41, 42)).astype(np.int16)
    first, second = sample_foreground(array, labels), sample_foreground(array, labels)
    for value, name in enumerate(labels.names, start=1):
        np.testing.assert_array_equal(first[name], second[name])
        assert (array[tuple(first[name].T)] == value).all()


def test_regions_take_all_their_values() -> None:
    array = np.array([[[0, 1], [2, 0]]], dtype=np.int16)
    regions = Labels({"whole": (1, 2), "core": (2,)}, region_values=(1, 2))
    found = sample_foreground(array, regions)
    assert found["whole"].tolist() == [[0, 0, 1], [0, 1, 0]]
    assert found["core"].tolist() == [[0, 1, 0]]


def test_annotated_voxels_are_those_that_are_not_ignored() -> None:
    array = np.array([[[0, 1], [2, 2]]], dtype=np.int16)
    found = sample_foreground(array, Labels({"one": (1,)}, ignore=2))
    assert found[ANNOTATED].tolist() == [[0, 0, 0], [0, 0, 1]]


def test_a_class_may_be_called_as_it_likes() -> None:
    labels = Labels({"annotated": (1,)}, ignore=2)
    found = sample_foreground(np.array([[[0, 1, 2]]], np.int16), labels)
    assert found["annotated"].tolist() == [[0, 0, 1]]
    assert len(found[ANNOTATED]) == 2
