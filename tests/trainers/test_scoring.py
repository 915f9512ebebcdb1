"""Dice on validation patches, by hand: what counts and what does not."""

from __future__ import annotations

import contextlib
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from autoseg.data.source import Batch
from autoseg.labels import Labels
from autoseg.losses.target import Target
from autoseg.training.loop import Computation
from trainers.scoring import PatchScore

EXCLUSIVE = Labels({"liver": (1,), "kidney": (2,)}, ignore=3)
REGIONS = Labels({"whole": (1, 2), "core": (2,)}, region_values=(1, 2))


class Fixed(nn.Module):
    """Answers with the image itself as logits."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image


def score(labels: Labels, logits: torch.Tensor, truth: list[int], contoured: tuple[bool, ...]) -> dict[str, float]:
    target = Target(torch.tensor(truth).view(1, 1, 1, -1), torch.tensor([contoured]))
    source = SimpleNamespace(labels=labels, batch=lambda index: Batch(logits, target))
    return PatchScore(source, 1, Computation("cpu", contextlib.nullcontext, clip_norm=0.0))(Fixed())


def one_hot(values: list[int], count: int) -> torch.Tensor:
    return nn.functional.one_hot(torch.tensor(values), count).float().T.reshape(1, count, 1, 1, -1)


def test_dice_by_hand() -> None:
    dice = score(EXCLUSIVE, one_hot([1, 1, 2, 0], 3), [1, 2, 2, 0], (True, True))
    assert dice == {"liver": pytest.approx(2 / 3), "kidney": pytest.approx(2 / 3)}


def test_voxels_with_the_ignore_label_do_not_count() -> None:
    dice = score(EXCLUSIVE, one_hot([1, 1, 1, 0], 3), [1, 3, 3, 0], (True, True))
    assert dice["liver"] == 1.0


def test_a_class_neither_there_nor_found_has_no_dice() -> None:
    assert math.isnan(score(EXCLUSIVE, one_hot([1, 0], 3), [1, 0], (True, True))["kidney"])


def test_a_class_that_was_not_contoured_does_not_count() -> None:
    dice = score(EXCLUSIVE, one_hot([1, 2, 2, 0], 3), [1, 0, 0, 0], (True, False))
    assert dice["liver"] == 1.0
    assert math.isnan(dice["kidney"])


def test_regions_overlap() -> None:
    logits = torch.tensor([[5.0, 5.0, -5.0], [-5.0, 5.0, 5.0]]).reshape(1, 2, 1, 1, 3)
    dice = score(REGIONS, logits, [1, 2, 0], (True, True))
    assert dice == {"whole": 1.0, "core": pytest.approx(2 / 3)}


def test_the_mode_of_the_network_is_left_as_it_was() -> None:
    network = Fixed().train()
    target = Target(torch.zeros(1, 1, 1, 2, dtype=torch.int64), torch.ones(1, 2, dtype=torch.bool))
    source = SimpleNamespace(labels=EXCLUSIVE, batch=lambda index: Batch(one_hot([0, 0], 3), target))
    PatchScore(source, 1, Computation("cpu", contextlib.nullcontext, clip_norm=0.0))(network)
    assert network.training
