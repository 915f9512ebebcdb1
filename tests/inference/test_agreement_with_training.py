"""What a network sees in training and in prediction must be the same: padding, previous labels, left and right."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autoseg.data.cascade import class_masks
from autoseg.data.sampling import random_box
from autoseg.inference.predictor import PredictionOptions, StagePredictor
from autoseg.inference.sliding_window import slide
from autoseg.inference.windows import Windows
from autoseg.labels import Labels
from autoseg.plans import Plans

FP32 = PredictionOptions(precision="fp32", device="cpu", backend="torch", flips="none")


class Recorder(nn.Module):
    """Keeps what it is shown."""

    spec = None

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, batch: Tensor) -> Tensor:
        self.seen.append(batch.clone())
        return torch.cat([batch[:, :1]] * 4, dim=1)


@pytest.fixture(scope="module")
def plans(write_model, tmp_path_factory: pytest.TempPathFactory) -> Plans:
    return write_model(tmp_path_factory.mktemp("model"))


def test_a_small_case_lies_where_training_puts_it() -> None:
    for shape in itertools.product((3, 4, 5, 6), repeat=2):
        seen: list[np.ndarray] = []
        image = np.ones((1, 7, *shape), np.float32)
        slide(image, lambda batch: seen.append(batch) or batch, Windows((7, 6, 5)))  # noqa: B023
        start = random_box((7, *shape), (7, 6, 5), np.random.default_rng(0)).start
        rows = np.flatnonzero(seen[0][0, 0].sum((0, 2)))
        columns = np.flatnonzero(seen[0][0, 0].sum((0, 1)))
        assert (-min(start[1], 0), -min(start[2], 0)) == (rows[0], columns[0])


def test_previous_labels_look_as_in_training(plans: Plans) -> None:
    labels = Labels({"organ_left": (1,), "organ_right": (2,), "lesion": (3,)})
    previous = np.random.default_rng(0).integers(0, 4, (16, 12, 12)).astype(np.int16)
    network = Recorder()
    predictor = StagePredictor([network], plans, plans.stages["3d_cascade_fullres"], labels, FP32)
    predictor.logits(np.zeros((1, 16, 12, 12), np.float32), previous)
    np.testing.assert_array_equal(network.seen[0][0, 1:].numpy(), class_masks(previous, labels))


def test_an_axis_that_training_never_flips_is_not_flipped(plans: Plans) -> None:
    """A lesion that shares its value with the left organ alone has no mirror image among the classes."""
    regions = Labels({"organ_left": (1, 3), "organ_right": (2, 4), "lesion": (3,)}, region_values=(1, 2, 3))
    options = replace(FP32, flips="all")
    predictor = StagePredictor([Recorder()], plans, plans.stages["3d_fullres"], regions, options)
    assert set(predictor.flips) == {(), (0,), (1,), (1, 0)}
