"""What a teacher adds to the loss, by numbers that can be worked out."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.nn import functional as F

from autoseg.labels import Labels
from autoseg.losses import build_loss
from autoseg.losses.deep_supervision import DeepSupervision
from autoseg.losses.distillation import (
    AttentionTap,
    Distillation,
    TaughtTarget,
    TeachingWeights,
    attention_distance,
    attention_map,
    region_divergence,
    softmax_divergence,
    taught,
)
from autoseg.losses.target import Target
from autoseg.networks import build_network
from autoseg.plans import LevelSpec, NetworkSpec

LABELS = Labels({"a": (1,), "b": (2,)})


def spec(width: int = 4) -> NetworkSpec:
    finest = LevelSpec((1, 1), (3, 3), (width,), (), width, (width,))
    return NetworkSpec("unet", 2, 1, 3, (finest, LevelSpec((2, 2), (3, 3), (2 * width,))))


def target() -> Target:
    return Target(torch.randint(0, 3, (2, 8, 8)), torch.ones(2, 2, dtype=torch.bool))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_the_softmax_divergence_is_torchs(temperature: float) -> None:
    student, teacher = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    own, answer = (x.movedim(1, -1).reshape(-1, 3) / temperature for x in (student, teacher))
    expected = temperature**2 * F.kl_div(
        own.log_softmax(1), answer.log_softmax(1), log_target=True, reduction="batchmean"
    )
    torch.testing.assert_close(softmax_divergence(student, teacher, temperature), expected)


def test_two_coins() -> None:
    certain_half, quarter = torch.zeros(1, 1, 1), torch.full((1, 1, 1), math.log(1 / 3))
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert float(region_divergence(quarter, certain_half, 1.0)) == pytest.approx(expected, rel=1e-5)
    assert float(region_divergence(quarter, quarter, 3.0)) == pytest.approx(0, abs=1e-6)


def test_for_soft_answers_the_temperature_hardly_matters() -> None:
    student, teacher = 1e-2 * torch.randn(2, 3, 8), 1e-2 * torch.randn(2, 3, 8)
    a, b = (softmax_divergence(student.double(), teacher.double(), t) for t in (1.0, 10.0))
    assert float(a) == pytest.approx(float(b), rel=0.1)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_labels_and_teacher_share_the_loss(share: float) -> None:
    logits, answers, truth = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8), target()
    usual = DeepSupervision(build_loss("ce", LABELS, batch_dice=False))
    loss = Distillation(usual, LABELS, TeachingWeights(share, 2.0), list)
    expected = (1 - share) * usual(logits, truth) + share * softmax_divergence(logits, answers, 2.0)
    torch.testing.assert_close(loss(logits, TaughtTarget(truth, (answers,))), expected)


def test_without_labels_only_the_teacher_counts() -> None:
    logits, answers = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    usual = DeepSupervision(build_loss("ce", LABELS, batch_dice=False))
    loss = Distillation(usual, LABELS, TeachingWeights(0.1, 2.0), list)
    values = [float(loss(logits, TaughtTarget(target(), (answers,), labelled=False))) for _ in range(2)]
    assert values[0] == values[1] == pytest.approx(float(softmax_divergence(logits, answers, 2.0)))


def test_attention_does_not_depend_on_the_number_of_channels() -> None:
    features = torch.randn(2, 4, 8, 8)
    doubled = torch.cat([features, features], 1)
    assert float(attention_distance([attention_map(features)], [attention_map(doubled)])) == pytest.approx(0, abs=1e-6)
    apart = torch.zeros(1, 1, 2), torch.zeros(1, 1, 2)
    apart[0][0, 0, 0] = apart[1][0, 0, 1] = 1
    assert float(attention_distance(*[[attention_map(x)] for x in apart])) == pytest.approx(2)


def test_a_wider_teacher_teaches_its_features() -> None:
    student, teacher = build_network(spec(4)), build_network(spec(6))
    taps = AttentionTap(student), AttentionTap(teacher)
    usual = DeepSupervision(build_loss("ce", LABELS, batch_dice=False))
    loss = Distillation(usual, LABELS, TeachingWeights(0.0, 2.0, features=1.0), taps[0].taken)
    image = torch.randn(2, 1, 8, 8)
    asked = taught(teacher, image, target(), tap=taps[1])
    assert len(asked.attention) == 2
    value = loss(student(image), asked)
    assert float(value.detach()) > float(usual(student(image), asked.target).detach())
    value.backward()
    assert student.encoder[1][0].convolution.weight.grad.any()
    assert teacher.encoder[0][0].convolution.weight.grad is None


def test_a_copy_of_a_student_has_no_tap() -> None:
    student = build_network(spec())
    tap = AttentionTap(student)
    student(torch.randn(1, 1, 8, 8))
    copied = copy.deepcopy(student)
    assert len(tap.taken()) == 2
    copied(torch.randn(1, 1, 8, 8))
    assert tap.taken() == []
    tap.remove()
    student(torch.randn(1, 1, 8, 8))
    assert tap.taken() == []


def test_moves_as_a_whole() -> None:
    asked = TaughtTarget(target(), (torch.ones(1),), (torch.ones(2),), labelled=False).to("meta")
    assert {tensor.device.type for tensor in (*asked.logits, *asked.attention, asked.target.labels)} == {"meta"}
    assert not asked.labelled
