from __future__ import annotations

import pytest
import torch
from loss_cases import TWO_CLASSES, random_case

from autoseg.errors import OptionError
from autoseg.losses import build_loss, parse_expression


def test_factors_and_spaces() -> None:
    assert parse_expression("0.5*dice + ce+2 * focal") == [(0.5, "dice"), (1.0, "ce"), (2.0, "focal")]


@pytest.mark.parametrize("expression", ["", "dice+", "x*dice", "-1*dice", "0*dice", "nan*dice", "inf*ce", "2*"])
def test_what_cannot_be_read_lists_the_terms(expression: str) -> None:
    with pytest.raises(OptionError, match=r"cannot be read at .*dice, tversky, ce, focal"):
        parse_expression(expression)


def test_unknown_term() -> None:
    with pytest.raises(OptionError, match=r"no loss 'dise'.*ce, dice, focal, tversky"):
        build_loss("dise+ce", TWO_CLASSES, batch_dice=False)


def test_sum_is_the_sum_of_its_terms() -> None:
    logits, target = random_case(TWO_CLASSES)
    parts = [build_loss(name, TWO_CLASSES, batch_dice=False)(logits, target) for name in ("dice", "ce")]
    found = build_loss("0.5*dice+2*ce", TWO_CLASSES, batch_dice=False)(logits, target)
    torch.testing.assert_close(found, 0.5 * parts[0] + 2 * parts[1])


def test_term_from_elsewhere() -> None:
    logits, target = random_case(TWO_CLASSES)
    found = build_loss("2*autoseg.losses.dice:dice", TWO_CLASSES, batch_dice=False)(logits, target)
    assert found == build_loss("2*dice", TWO_CLASSES, batch_dice=False)(logits, target)
