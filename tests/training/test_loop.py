"""The loop: how long it runs, what it calls, and that it learns."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from toy import ToyBatch, averaged, make_loop

from autoseg.errors import ResourceError
from autoseg.training.hooks import EarlyStopping, Validation, WeightAverage, WholeVolumeValidation
from autoseg.training.loop import Hook, RunLength, TrainingLoop


class Recorder(Hook):
    def __init__(self) -> None:
        self.events: list[str] = []

    def start(self, loop: TrainingLoop) -> None:
        self.events.append("start")

    def after_epoch(self, loop: TrainingLoop) -> None:
        self.events.append(f"epoch {loop.record.epoch} at {loop.iteration}")

    def end(self, loop: TrainingLoop) -> None:
        self.events.append("end")


def test_epochs_and_iterations_are_counted() -> None:
    recorder = Recorder()
    make_loop(RunLength(5, epochs=2), [recorder]).run()
    assert recorder.events == ["start", "epoch 0 at 5", "epoch 1 at 10", "end"]


def test_learns_the_map() -> None:
    loop = make_loop(RunLength(100, epochs=3))
    loop.run()
    torch.testing.assert_close(averaged(loop).weight.detach(), torch.tensor([[1.0, 2.0, 3.0]]), atol=0.05, rtol=0)


class Clock(Hook):
    """A clock that moves by half a second with each step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("autoseg.training.loop.time.monotonic", lambda: self.now)

    def after_step(self, loop: TrainingLoop) -> None:
        self.now += 0.5


def test_a_budget_ends_on_time_and_has_its_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, clock = Recorder(), Clock(monkeypatch)
    loop = make_loop(RunLength(10**6, budget_seconds=400.0), [clock, recorder])
    loop.run()
    assert loop.seconds == pytest.approx(400.0, rel=0.01)
    assert sum(event.startswith("epoch") for event in recorder.events) in (20, 21)


def test_a_short_budget_has_few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    make_loop(RunLength(1, budget_seconds=45.0), [Clock(monkeypatch), recorder]).run()
    assert sum(event.startswith("epoch") for event in recorder.events) == 5


def test_schedule_follows_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = make_loop(RunLength(10**6, budget_seconds=400.0), [Clock(monkeypatch)])
    loop.run()
    assert loop.optimizer.param_groups[0]["lr"] < 0.1 * 0.001


def test_divergence_is_an_error_with_a_remedy() -> None:
    loop = make_loop(RunLength(100, epochs=1))
    loop.loss = lambda output, target: (output * float("nan")).sum()
    with pytest.raises(ResourceError, match=r"no finite gradient.*Lower --lr"):
        loop.run()


def test_a_single_bad_step_changes_no_weight() -> None:
    loop = make_loop(RunLength(1, epochs=1), decay=0.0)
    before = loop.network.weight.detach().clone()
    loop.loss = lambda output, target: (output * float("nan")).sum()
    loop.run()
    torch.testing.assert_close(loop.network.weight.detach(), before)


def test_early_stopping_keeps_the_best_weights() -> None:
    scores = iter([0.5, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1])
    loop = make_loop(RunLength(2, epochs=7), decay=0.5)
    average = next(hook for hook in loop.hooks if hasattr(hook, "decay"))
    seen: list[torch.Tensor] = []

    def score(network: torch.nn.Module) -> dict[str, float]:
        seen.append(network.weight.detach().clone())
        return {"liver": next(scores)}

    validation = Validation(score, average)
    loop.hooks = [*loop.hooks, validation, EarlyStopping(validation, patience=3)]
    loop.run()
    assert len(seen) == 5, "two epochs that improve, three that do not"
    torch.testing.assert_close(average.network.weight.detach(), seen[1])


def test_a_batch_belongs_to_its_iteration() -> None:
    seen: list[torch.Tensor] = []
    loop = make_loop(RunLength(3, epochs=1))
    plain = loop.computation.move

    class Spy(Hook):
        def before_step(self, loop: TrainingLoop) -> None:
            seen.append(torch.tensor(loop.iteration))

    loop.hooks = [*loop.hooks, Spy()]
    loop.run()
    assert [int(value) for value in seen] == [0, 1, 2]
    assert torch.equal(plain(ToyBatch(torch.ones(1, 3), torch.ones(1)).image), torch.ones(1, 3))


def test_whole_cases_are_scored_every_so_many_epochs_and_steer_nothing() -> None:
    plain = make_loop(RunLength(5, epochs=5))
    plain.run()
    noted: list[object] = []

    class Notes(Hook):
        def after_epoch(self, loop: TrainingLoop) -> None:
            noted.append(loop.record.values.get("mean_whole_validation_dice"))

    average = WeightAverage(torch.nn.Linear(3, 1), 0.0)
    whole = WholeVolumeValidation(lambda network: {"a": 0.5, "b": 0.25, "c": None}, average, every_epochs=2)
    loop = make_loop(RunLength(5, epochs=5), [whole, Notes()])
    loop.run()
    assert noted == [None, 0.375, None, 0.375, None]
    torch.testing.assert_close(averaged(loop).weight, averaged(plain).weight, rtol=0, atol=0)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_compiled_network_computes_the_steps(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[nn.Module] = []

    def fake(network: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda image: calls.append(network) or network(image)

    monkeypatch.setattr("autoseg.training.loop.CompiledNetwork", fake)
    plain = make_loop(RunLength(5, epochs=1))
    computation = replace(plain.computation, compiled=compiled)
    loop = TrainingLoop(
        plain.network,
        plain.loss,
        plain.optimizer,
        batches=plain.batches,
        length=plain.length,
        computation=computation,
        hooks=plain.hooks,
    )
    loop.run()
    assert calls == [plain.network] * (5 if compiled else 0)
