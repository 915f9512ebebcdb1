from __future__ import annotations

import math

import pytest
import torch
from loss_cases import REGIONS, TWO_CLASSES, logits_of, random_case, target_of

from autoseg.losses import build_loss


def test_cross_entropy_by_hand() -> None:
    logits = logits_of([[[0.25, 0.5, 0.25], [0.8, 0.1, 0.1]]])
    loss = build_loss("ce", TWO_CLASSES, batch_dice=False)(logits, target_of([[1, 0]]))
    assert loss.item() == pytest.approx(-(math.log(0.5) + math.log(0.8)) / 2, abs=1e-6)


def test_focal_by_hand() -> None:
    logits = logits_of([[[0.25, 0.5, 0.25], [0.8, 0.1, 0.1]]])
    loss = build_loss("focal", TWO_CLASSES, batch_dice=False)(logits, target_of([[1, 0]]))
    assert loss.item() == pytest.approx(-(0.25 * math.log(0.5) + 0.04 * math.log(0.8)) / 2, abs=1e-6)


def test_cross_entropy_equals_torch() -> None:
    logits, target = random_case(TWO_CLASSES)
    found = build_loss("ce", TWO_CLASSES, batch_dice=False)(logits, target)
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(logits, target.labels))


def test_focal_equals_monai_which_also_averages_over_channels() -> None:
    from monai.losses import FocalLoss

    logits, target = random_case(TWO_CLASSES)
    oracle = FocalLoss(to_onehot_y=True, use_softmax=True, gamma=2.0)
    found = build_loss("focal", TWO_CLASSES, batch_dice=False)(logits, target)
    assert found.item() == pytest.approx(3 * oracle(logits, target.labels[:, None]).item(), rel=1e-5)


def test_regions_equal_torch_and_monai() -> None:
    from monai.losses import FocalLoss

    logits, target = random_case(REGIONS)
    truth = torch.stack([target.labels >= 1, target.labels == 2], 1).double()
    found = build_loss("ce", REGIONS, batch_dice=False)(logits, target)
    torch.testing.assert_close(found, torch.nn.functional.binary_cross_entropy_with_logits(logits, truth))
    found = build_loss("focal", REGIONS, batch_dice=False)(logits, target)
    assert found.item() == pytest.approx(FocalLoss(gamma=2.0)(logits, truth).item(), rel=1e-5)


def test_certain_and_wrong_stays_finite() -> None:
    logits = torch.tensor([[[500.0], [-500.0], [0.0]]], requires_grad=True)
    loss = build_loss("dice+ce+focal", TWO_CLASSES, batch_dice=False)(logits, target_of([[1]]))
    loss.backward()
    assert loss.item() == pytest.approx(1000 + 1000 + 0.5, abs=1)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
