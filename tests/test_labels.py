"""What dataset.json may say about labels, and what it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.errors import FormatError
from autoseg.labels import Labels, read_labels_entry

PATH = Path("dataset.json")
BRATS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}


def read(labels: dict[str, Any], **more: Any) -> Labels:
    return read_labels_entry({"labels": labels, **more}, PATH)


def test_exclusive_labels() -> None:
    labels = read({"background": 0, "liver": 1, "tumour": 2})
    assert labels.classes == {"liver": (1,), "tumour": (2,)}
    assert not labels.has_regions
    assert labels.output_count == 3
    assert labels.values == (0, 1, 2)


def test_the_older_form_maps_values_to_names() -> None:
    assert read({"0": "background", "1": "liver"}) == read({"background": 0, "liver": 1})


def test_the_ignore_label_is_a_value_but_no_class() -> None:
    labels = read({"background": 0, "liver": 1, "ignore": 2})
    assert labels.ignore == 2
    assert labels.names == ("liver",)
    assert labels.values == (0, 1, 2)


def test_regions_overlap_and_have_no_background_output() -> None:
    labels = read(BRATS, regions_class_order=[1, 2, 3])
    assert labels.has_regions
    assert labels.output_count == 3
    np.testing.assert_array_equal(labels.mask(np.array([0, 1, 2, 3]), "core"), [False, False, True, True])


def test_a_region_order_without_regions_means_nothing() -> None:
    assert not read({"background": 0, "liver": 1}, regions_class_order=[1]).has_regions


def test_regions_are_painted_in_order() -> None:
    labels = read(BRATS, regions_class_order=[1, 2, 3])
    logits = np.array([[-1, 1, 1, 1], [-1, -1, 1, 1], [-1, -1, -1, 1]])
    np.testing.assert_array_equal(labels.decode(logits), [0, 1, 2, 3])


def test_exclusive_outputs_take_the_largest_and_the_lower_class_on_a_tie() -> None:
    labels = read({"background": 0, "liver": 1, "tumour": 2})
    logits = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 2.0, 0.0, 3.0], [0.0, 2.0, 2.0, 0.0]])
    np.testing.assert_array_equal(labels.decode(logits), [0, 1, 2, 1])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({}, "missing key 'labels'"),
        ({"liver": 1}, "must hold 'background' with the value 0"),
        ({"background": 1, "liver": 2}, "must hold 'background' with the value 0"),
        ({"background": 0}, "at least one class"),
        ({"background": 0, "liver": 2}, r"consecutive from 1, not \[2\]"),
        ({"background": 0, "liver": 1, "tumour": 3}, r"consecutive from 1, not \[1, 3\]"),
        ({"background": 0, "liver": 1, "tumour": 1}, "'liver' and 'tumour' share the value 1"),
        ({"background": 0, "liver": "1"}, "'liver' must be a whole number"),
        ({"background": 0, "liver": 1.0}, "'liver' must be a whole number"),
        ({"background": 0, "liver": True}, "'liver' must be a whole number"),
        ({"background": 0, "liver": -1}, "'liver' must be a whole number"),
        ({"background": 0, "liver": []}, "'liver' must be a whole number"),
        ({"background": 0, "liver": [1, 1]}, "'liver' names a value twice"),
        ({"0": "background", "1": "liver", "2": "liver"}, "gives two values one name"),
        ({"background": 0, "liver": 1, "ignore": 3}, "ignore label must be the highest value, 2"),
        ({"background": 0, "liver": 2, "ignore": 1}, "consecutive from 1"),
    ],
)
def test_wrong_labels_are_named(labels: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(labels)


@pytest.mark.parametrize("order", [None, [1, 2], [1, 2, "3"], [1, 2, True], 3])
def test_regions_need_an_order_of_their_length(order: Any) -> None:
    with pytest.raises(FormatError, match="regions_class_order must list 3 values, one for each of whole, core"):
        read(BRATS, regions_class_order=order)


def test_a_region_is_painted_with_a_value_of_its_own() -> None:
    with pytest.raises(FormatError, match=r"paints 'core' with 1, which is not one of its values \[2, 3\]"):
        read(BRATS, regions_class_order=[2, 1, 3])
