"""NovoGrad by hand, and every registered optimiser on a small problem."""

import pytest
import torch
from torch import nn

from autoseg.errors import OptionError
from autoseg.training.optimizers import OPTIMIZERS, Muon, NovoGrad, find_optimizer, orthogonalized


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


@pytest.mark.parametrize("shape", [(8, 8), (5, 40), (40, 5)])
def test_orthogonalized_keeps_directions_and_evens_out_sizes(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    core = left.T @ orthogonalized(matrix) @ right.T
    sizes = core.diagonal()
    assert float(sizes.min()) > 0.3
    assert float(sizes.max()) < 1.3
    torch.testing.assert_close(core, torch.diag(sizes), atol=1e-4, rtol=0)


def test_muon_steps_like_adamw_on_vectors() -> None:
    first, second = (nn.Parameter(torch.tensor([1.0, -2.0, 3.0])) for _ in range(2))
    ours, theirs = Muon([first], 0.1, weight_decay=0.3), torch.optim.AdamW([second], 0.1, weight_decay=0.3)
    for gradient in ([1.0, 2.0, -1.0], [0.5, -3.0, 0.1], [0.0, 1.0, 2.0]):
        first.grad, second.grad = torch.tensor(gradient), torch.tensor(gradient)
        ours.step()
        theirs.step()
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("shape", [(8, 200), (200, 8), (32, 32), (64, 1728)])
def test_orthogonal_steps_equal_those_taken_on_the_matrix_itself(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * torch.logspace(0, -4, shape[1])
    x = matrix.double() if shape[0] <= shape[1] else matrix.double().T
    x = x / x.norm()
    for _ in range(5):  # as Jordan et al. write it down
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    x = x if shape[0] <= shape[1] else x.T
    assert (orthogonalized(matrix) - x).norm() < 1e-3 * x.norm()


def test_the_size_of_a_muon_step_does_not_depend_on_the_gradient() -> None:
    steps = []
    for scale in (1.0, 1e3):
        weight = nn.Parameter(torch.zeros(4, 2, 3, 3, 3))
        weight.grad = scale * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
        Muon([weight], 0.1).step()
        steps.append(weight.detach())
    torch.testing.assert_close(steps[0], steps[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_descends(name: str) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(8, 4))
    optimizer = find_optimizer(name).make([weight], 1e-3)
    before = float(weight.detach().pow(2).sum())
    for _ in range(50):
        optimizer.zero_grad()
        weight.pow(2).sum().backward()
        optimizer.step()
    assert float(weight.detach().pow(2).sum()) < before


def test_unknown_optimizer_lists_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"no optimizer 'lion'.*adamw, muon, novograd, sgd"):
        find_optimizer("lion")
