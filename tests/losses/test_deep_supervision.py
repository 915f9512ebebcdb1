from __future__ import annotations

import pytest
import torch
from loss_cases import TWO_CLASSES
from torch import Tensor, nn

from autoseg.losses import build_loss
from autoseg.losses.deep_supervision import DeepSupervision, level_weights
from autoseg.losses.target import Target


class MeanOfLabels(nn.Module):
    def forward(self, logits: Tensor, target: Target) -> Tensor:
        assert logits.shape[2:] == target.labels.shape[1:]
        return logits.mean() * 0 + target.labels.double().mean()


@pytest.mark.parametrize(
    ("count", "weights"), [(1, (1,)), (2, (1, 0)), (3, (2 / 3, 1 / 3, 0)), (4, (4 / 7, 2 / 7, 1 / 7, 0))]
)
def test_weights_halve_and_the_coarsest_is_left_out(count: int, weights: tuple[float, ...]) -> None:
    assert level_weights(count) == pytest.approx(weights)


def test_each_level_meets_the_target_at_its_resolution() -> None:
    target = Target(torch.tensor([[0, 0, 0, 0, 9, 9, 9, 1]]), torch.ones(1, 1, dtype=torch.bool))
    logits = [torch.zeros(1, 2, length) for length in (8, 4, 2)]
    assert DeepSupervision(MeanOfLabels())(logits, target).item() == pytest.approx(2 / 3 * 28 / 8 + 1 / 3 * 10 / 4)


def test_single_tensor_is_the_loss_itself() -> None:
    target = Target(torch.tensor([[0, 1, 2, 0]]), torch.ones(1, 2, dtype=torch.bool))
    loss, logits = build_loss("dice+ce", TWO_CLASSES, batch_dice=False), torch.randn(1, 3, 4)
    assert DeepSupervision(loss)(logits, target) == loss(logits, target)
