"""Boxes of organs in true and located labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoseg.geometry import Box, Geometry
from autoseg.labels import Labels
from autoseg.locating.boxes import CaseBoxes, find_boxes, locate, read_boxes, write_boxes

LABELS = Labels({"left": (1,), "right": (2,), "stem": (3,)})
SIZES = dict.fromkeys(LABELS.names, (8.0, 8.0, 8.0))


def labels_with(**boxes: Box) -> np.ndarray:
    labels = np.zeros((20, 20, 40), dtype=np.int16)
    for name, box in boxes.items():
        labels[box.slices] = LABELS.classes[name][0]
    return labels


def test_boxes_are_those_of_numpy() -> None:
    labels = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(np.int16) * (np.arange(7) > 2)
    for name, box in find_boxes(labels.astype(np.int16), LABELS).items():
        voxels = np.argwhere(labels == LABELS.classes[name][0])
        assert (box.start, box.stop) == (tuple(voxels.min(axis=0)), tuple(voxels.max(axis=0) + 1))


def test_an_absent_organ_has_no_box() -> None:
    assert set(find_boxes(labels_with(right=Box((1, 1, 1), (3, 3, 3))), LABELS)) == {"right"}


def test_a_speck_on_the_other_side_does_not_widen_a_located_box() -> None:
    labels = labels_with(left=Box((2, 2, 2), (6, 6, 6)))
    labels[3:5, 3:5, 36:39] = 1
    geometry = Geometry(labels.shape, (1.0, 1.0, 1.0))
    assert find_boxes(labels, LABELS)["left"].stop == (6, 6, 39)
    assert locate(labels, LABELS, geometry, SIZES).boxes["left"] == Box((2, 2, 2), (6, 6, 6))


def test_a_box_that_no_organ_has_is_not_believed() -> None:
    labels = labels_with(left=Box((0, 0, 0), (8, 8, 17)), stem=Box((9, 0, 0), (17, 8, 16)))
    located = locate(labels, LABELS, Geometry(labels.shape, (1.0, 1.0, 1.0)), SIZES)
    assert set(located.oversized) == {"left"}
    assert set(located.boxes) == {"stem"}


def test_boxes_survive_json(tmp_path: Path) -> None:
    box = Box((1, 2, 3), (4, 5, 6))
    boxes = CaseBoxes(Geometry((9, 9, 9), (1.0, 2.0, 3.0)), {"left": box}, {"right": box}, ("stem",))
    write_boxes(tmp_path / "case.json", boxes)
    assert read_boxes(tmp_path / "case.json") == boxes
