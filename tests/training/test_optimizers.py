"""NovoGrad by hand, and every registered optimiser on a small problem."""

import pytest
import torch
from torch import nn

from autoseg.errors import OptionError
from autoseg.training.optimizers import OPTIMIZERS, NovoGrad, find_optimizer


def test_novograd_first_steps_by_hand() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = NovoGrad([weight], lr=0.1, betas=(0.9, 0.5), eps=0.0, weight_decay=0.0)
    weight.grad = torch.tensor([3.0, 4.0])
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([0.94, 1.92]))
    weight.grad = torch.tensor([0.0, 1.0])
    optimizer.step()  # v = .5 * 25 + .5 * 1 = 13, momentum = .9 * (.6, .8) + (0, 1 / sqrt 13)
    expected = torch.tensor([0.94 - 0.1 * 0.54, 1.92 - 0.1 * (0.72 + 13**-0.5)])
    torch.testing.assert_close(weight.detach(), expected)


def test_novograd_decays_weights() -> None:
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = NovoGrad([weight], lr=0.1, weight_decay=0.5)
    weight.grad = torch.tensor([1.0])
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([2.0 - 0.1 * (1.0 + 0.5 * 2.0)]))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_descends(name: str) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(8))
    optimizer = find_optimizer(name).make([weight], 1e-3)
    before = float(weight.detach().pow(2).sum())
    for _ in range(50):
        optimizer.zero_grad()
        weight.pow(2).sum().backward()
        optimizer.step()
    assert float(weight.detach().pow(2).sum()) < before


def test_unknown_optimizer_lists_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"no optimizer 'lion'.*adamw, novograd, sgd"):
        find_optimizer("lion")
