"""What must hold for every term: ignored voxels, classes that were not contoured, orders of labels."""

from __future__ import annotations

import pytest
import torch
from loss_cases import REGIONS, TWO_CLASSES, random_case

from autoseg.labels import Labels
from autoseg.losses import LOSSES, build_loss
from autoseg.losses.target import Target

WITH_IGNORE = Labels(TWO_CLASSES.classes, ignore=3)
REGIONS_WITH_IGNORE = Labels(REGIONS.classes, ignore=3, region_values=REGIONS.region_values)


def gradient(expression: str, labels: Labels, logits: torch.Tensor, target: Target, *, batch_dice: bool = False):
    logits = logits.detach().requires_grad_()
    loss = build_loss(expression, labels, batch_dice=batch_dice)(logits, target)
    loss.backward()
    return loss.detach(), logits.grad


@pytest.mark.parametrize("expression", LOSSES)
@pytest.mark.parametrize("labels", [WITH_IGNORE, REGIONS_WITH_IGNORE], ids=["exclusive", "regions"])
def test_ignored_voxels_contribute_nothing(expression: str, labels: Labels) -> None:
    logits, target = random_case(labels)
    half = target.labels.shape[1] // 2
    masked = target.labels.clone()
    masked[:, half:] = 3
    loss, slope = gradient(expression, labels, logits, Target(masked, target.contoured))
    cut = Target(target.labels[:, :half], target.contoured)
    expected, expected_slope = gradient(expression, labels, logits[:, :, :half], cut)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(slope[:, :, :half], expected_slope)
    assert not slope[:, :, half:].any()


@pytest.mark.parametrize("expression", LOSSES)
@pytest.mark.parametrize("batch_dice", [False, True])
@pytest.mark.parametrize("labels", [WITH_IGNORE, REGIONS_WITH_IGNORE], ids=["exclusive", "regions"])
def test_nothing_annotated_is_zero_with_zero_gradient(expression: str, batch_dice: bool, labels: Labels) -> None:
    logits, target = random_case(labels)
    target = Target(torch.full_like(target.labels, 3), target.contoured)
    loss, slope = gradient(expression, labels, logits, target, batch_dice=batch_dice)
    assert loss == 0
    assert not slope.any()


@pytest.mark.parametrize("expression", LOSSES)
@pytest.mark.parametrize("batch_dice", [False, True])
@pytest.mark.parametrize("labels", [TWO_CLASSES, REGIONS, WITH_IGNORE], ids=["exclusive", "regions", "ignore"])
def test_class_that_was_not_contoured_has_no_gradient(expression: str, batch_dice: bool, labels: Labels) -> None:
    logits, target = random_case(labels)
    contoured = torch.tensor([[True, False], [True, True]])
    target = Target(target.labels.clamp(max=1), contoured)
    _, slope = gradient(expression, labels, logits, target, batch_dice=batch_dice)
    assert not slope[0, -1].any()
    assert slope[1, -1].any()
    assert slope[0, -2].any()
    assert slope.isfinite().all()


@pytest.mark.parametrize("expression", LOSSES)
def test_class_that_was_not_contoured_is_as_if_there_were_no_such_class(expression: str) -> None:
    logits, target = random_case(TWO_CLASSES)
    values = target.labels.clamp(max=1)
    nowhere = Target(values, torch.tensor([[True, False]] * 2))
    loss, slope = gradient(expression, TWO_CLASSES, logits, nowhere)
    one_class = Labels({"a": (1,)})
    without = Target(values, torch.ones(2, 1, dtype=torch.bool))
    expected, expected_slope = gradient(expression, one_class, logits[:, :2], without)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(slope[:, :2], expected_slope)


@pytest.mark.parametrize("expression", LOSSES)
def test_label_of_a_class_that_was_not_contoured_is_ignored(expression: str) -> None:
    logits, target = random_case(TWO_CLASSES)
    loss, slope = gradient(expression, TWO_CLASSES, logits, Target(target.labels, torch.tensor([[True, False]] * 2)))
    assert loss.isfinite()
    assert not slope.transpose(0, 1)[:, target.labels == 2].any()


@pytest.mark.parametrize("labels", [TWO_CLASSES, REGIONS], ids=["exclusive", "regions"])
def test_no_class_contoured_leaves_nothing_of_dice(labels: Labels) -> None:
    logits, target = random_case(labels)
    nothing = Target(torch.zeros_like(target.labels), torch.zeros(2, 2, dtype=torch.bool))
    loss, slope = gradient("dice", labels, logits, nothing)
    assert loss == 0
    assert not slope.any()


@pytest.mark.parametrize("expression", LOSSES)
def test_channels_follow_the_order_of_the_classes_not_of_the_values(expression: str) -> None:
    logits, target = random_case(TWO_CLASSES)
    turned = Labels({"b": (2,), "a": (1,)})
    expected = build_loss(expression, TWO_CLASSES, batch_dice=False)(logits, target)
    found = build_loss(expression, turned, batch_dice=False)(logits[:, [0, 2, 1]], target)
    torch.testing.assert_close(found, expected)


def test_half_precision_logits_give_a_float_loss() -> None:
    logits, target = random_case(TWO_CLASSES)
    loss = build_loss("dice+ce", TWO_CLASSES, batch_dice=False)
    found = loss(logits.bfloat16(), target)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), loss(logits, target), rtol=0.01, atol=0.01)


def test_channels_last_gives_the_same() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, 6, generator=generator)
    target = Target(torch.randint(0, 3, (2, 4, 5, 6), generator=generator), torch.ones(2, 2, dtype=torch.bool))
    loss = build_loss("dice+ce", TWO_CLASSES, batch_dice=False)
    torch.testing.assert_close(
        loss(logits.contiguous(memory_format=torch.channels_last_3d), target), loss(logits, target)
    )
