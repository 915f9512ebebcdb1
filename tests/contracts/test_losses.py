"""What every registered loss must do."""

from __future__ import annotations

import pytest
import torch

from autoseg.labels import Labels
from autoseg.losses import LOSSES, build_loss
from autoseg.losses.target import Target

KINDS = {
    "exclusive": Labels({"a": (1,), "b": (2,)}),
    "ignore": Labels({"a": (1,), "b": (2,)}, ignore=3),
    "regions": Labels({"whole": (1, 2), "core": (2,)}, ignore=3, region_values=(1, 2)),
}


def case(labels: Labels) -> tuple[torch.Tensor, Target]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, labels.output_count, 3, 4, generator=generator, dtype=torch.float64)
    values = torch.tensor([0, 1, 2, 0 if labels.ignore is None else labels.ignore] * 6).view(2, 3, 4)
    contoured = torch.tensor([[True, True], [True, False]])
    values[1][values[1] == 2] = 0
    return logits, Target(values, contoured)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("labels", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("batch_dice", [False, True])
class TestEveryLoss:
    def test_gradient_is_the_derivative(self, name: str, labels: Labels, batch_dice: bool) -> None:
        logits, target = case(labels)
        loss = build_loss(name, labels, batch_dice=batch_dice)
        assert torch.autograd.gradcheck(lambda x: loss(x, target), (logits.requires_grad_(),))

    def test_is_zero_for_the_truth_and_never_below(self, name: str, labels: Labels, batch_dice: bool) -> None:
        logits, target = case(labels)
        loss = build_loss(name, labels, batch_dice=batch_dice)
        assert loss(logits, target) > 0.01
        assert 0 <= loss(_certain(target, labels, right=True), target) < 1e-6
        assert loss(_certain(target, labels, right=False), target) > 0.5

    def test_descending_lowers_it(self, name: str, labels: Labels, batch_dice: bool) -> None:
        logits, target = case(labels)
        loss = build_loss(name, labels, batch_dice=batch_dice)
        before = loss(logits.requires_grad_(), target)
        (slope,) = torch.autograd.grad(before, logits)
        assert loss(logits - 0.1 * slope, target) < before


def _certain(target: Target, labels: Labels, *, right: bool) -> torch.Tensor:
    """Logits that say exactly the truth, or at every voxel something else."""
    truth = [torch.isin(target.labels, torch.tensor(values)) for values in labels.classes.values()]
    if not labels.has_regions:
        truth = [torch.stack(truth).any(0).logical_not(), *truth]
    said = torch.stack(truth, 1)
    if not right:
        said = ~said if labels.has_regions else said.roll(1, 1)
    return (said.double() * 2 - 1) * 40
