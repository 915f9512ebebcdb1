"""The schedules, at points where their value is known by hand."""

import pytest
import torch

from autoseg.errors import OptionError
from autoseg.training.schedules import SCHEDULES, Cycles, Position, learning_rate_factor


def at(progress: float, *, iteration: int = 100, epoch: float = 0.0) -> Position:
    return Position(progress, iteration, epoch)


@pytest.mark.parametrize("name", ["polynomial", "cosine"])
def test_falls_from_one_to_zero(name: str) -> None:
    assert learning_rate_factor(name, at(0.0)) == 1.0
    assert learning_rate_factor(name, at(1.0)) == pytest.approx(0.0)


def test_polynomial_is_the_power_nine_tenths() -> None:
    assert learning_rate_factor("polynomial", at(0.5)) == pytest.approx(0.5**0.9)


def test_cosine_is_half_way_at_half_time() -> None:
    assert learning_rate_factor("cosine", at(0.5)) == pytest.approx(0.5)


@pytest.mark.parametrize(("epoch", "expected"), [(0, 1.0), (2.5, 0.5), (5, 1.0), (12.5, 0.5), (20, 1.0), (42.5, 0.5)])
def test_restarts_after_5_15_and_45_epochs(epoch: float, expected: float) -> None:
    assert learning_rate_factor("cosine_restarts", at(0.3, epoch=epoch)) == pytest.approx(expected)


def test_warmup_grows_linearly() -> None:
    factors = [learning_rate_factor("constant", at(0.0, iteration=i), warmup_iterations=4) for i in range(6)]
    assert factors == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_stays_between_zero_and_one(name: str) -> None:
    values = [learning_rate_factor(name, at(p / 50, epoch=p)) for p in range(51)]
    assert all(0 <= value <= 1 for value in values)


def test_unknown_schedule_lists_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"no schedule 'linear'.*cosine"):
        learning_rate_factor("linear", at(0.0))


@pytest.mark.parametrize(("first", "growth"), [(5, 3), (2, 2), (3, 1)])
def test_warm_restarts_are_those_of_pytorch(first: int, growth: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=first, T_mult=growth)
    for step in range(80):
        epoch = step / 2
        oracle.step(epoch)
        factor = learning_rate_factor("cosine_restarts", at(0.5, epoch=epoch), cycles=Cycles(first, growth))
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
