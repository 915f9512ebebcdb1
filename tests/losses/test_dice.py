from __future__ import annotations

import pytest
import torch
from loss_cases import ONE_CLASS, REGIONS, TWO_CLASSES, logits_of, random_case, target_of

from autoseg.losses import build_loss
from autoseg.losses.combined import CombinedLoss
from autoseg.losses.dice import SMOOTH, Tversky


def test_two_voxels_by_hand() -> None:
    """p of class a: .75 where it is, .25 where it is not: Dice 2 * .75 / (1 + 1); class b is absent, Dice near 0."""
    logits = logits_of([[[0.25, 0.75, 1e-30], [0.75, 0.25, 1e-30]]])
    loss = build_loss("dice", TWO_CLASSES, batch_dice=False)(logits, target_of([[1, 0]]))
    assert loss.item() == pytest.approx(1 - (0.75 + 1.0) / 2, abs=1e-4)


def test_absent_class_that_is_predicted_counts_as_missed() -> None:
    logits = logits_of([[[0.5, 0.25, 0.25]]])
    loss = build_loss("dice", TWO_CLASSES, batch_dice=False)(logits, target_of([[0]]))
    assert loss.item() == pytest.approx(1 - SMOOTH / (0.25 + SMOOTH), abs=1e-6)


def test_batch_dice_pools_the_samples() -> None:
    """Class a fills the first sample and is absent from the second; p is .5 everywhere: I = .5, P = 1, T = 1."""
    logits = logits_of([[[0.5, 0.5]]]).repeat(2, 1, 1)
    loss = build_loss("dice", ONE_CLASS, batch_dice=True)(logits, target_of([[1], [0]], 1))
    assert loss.item() == pytest.approx(1 - 2 * 0.5 / 2, abs=1e-4)


def test_tversky_by_hand() -> None:
    """I = .5, too much .2, missed .5: .5 / (.5 + .3 * .2 + .7 * .5)."""
    logits = logits_of([[[0.5, 0.5], [0.8, 0.2]]])
    loss = build_loss("tversky", ONE_CLASS, batch_dice=False)(logits, target_of([[1, 0]], 1))
    assert loss.item() == pytest.approx(1 - 0.5 / (0.5 + 0.3 * 0.2 + 0.7 * 0.5), abs=1e-4)


@pytest.mark.parametrize("batch_dice", [False, True])
def test_dice_equals_monai(batch_dice: bool) -> None:
    from monai.losses import DiceLoss

    logits, target = random_case(TWO_CLASSES)
    oracle = DiceLoss(
        include_background=False,
        to_onehot_y=True,
        softmax=True,
        batch=batch_dice,
        smooth_nr=SMOOTH,
        smooth_dr=SMOOTH,
    )
    found = build_loss("dice", TWO_CLASSES, batch_dice=batch_dice)(logits, target)
    torch.testing.assert_close(found, oracle(logits, target.labels[:, None]))


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (0.8, 0.2)])
def test_tversky_equals_monai(alpha: float, beta: float) -> None:
    from monai.losses import TverskyLoss

    logits, target = random_case(TWO_CLASSES)
    oracle = TverskyLoss(
        include_background=False,
        to_onehot_y=True,
        softmax=True,
        alpha=alpha,
        beta=beta,
        smooth_nr=SMOOTH / 2,
        smooth_dr=SMOOTH / 2,
    )
    found = CombinedLoss([(1.0, Tversky(alpha, beta, batch_dice=False))], TWO_CLASSES)(logits, target)
    torch.testing.assert_close(found, oracle(logits, target.labels[:, None]))


def test_regions_equal_monai() -> None:
    from monai.losses import DiceLoss

    logits, target = random_case(REGIONS)
    truth = torch.stack([target.labels >= 1, target.labels == 2], 1).double()
    oracle = DiceLoss(sigmoid=True, smooth_nr=SMOOTH, smooth_dr=SMOOTH)
    found = build_loss("dice", REGIONS, batch_dice=False)(logits, target)
    torch.testing.assert_close(found, oracle(logits, truth))
