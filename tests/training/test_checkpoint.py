"""Checkpoints: whole, without pickles, and a run that was stopped ends as one that was not."""

from pathlib import Path

import pytest
import torch
from toy import averaged, make_loop

from autoseg.errors import FileError, OptionError
from autoseg.training.checkpoint import Checkpoints, read_state, write_state
from autoseg.training.loop import Hook, RunLength, TrainingLoop


class KilledError(Exception):
    """Stands for a SIGKILL."""


class KillAt(Hook):
    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def after_step(self, loop: TrainingLoop) -> None:
        if loop.iteration == self.iteration:
            raise KilledError


def run(path: Path, hooks: list[Hook], settings: dict | None = None) -> TrainingLoop:
    loop = make_loop(RunLength(4, epochs=5), [*hooks, Checkpoints(path, settings or {"lr": 0.1})])
    loop.run()
    return loop


@pytest.mark.parametrize("kill_at", [1, 4, 7, 11, 19])
def test_a_stopped_run_ends_bit_for_bit_as_an_uninterrupted_one(tmp_path: Path, kill_at: int) -> None:
    whole = run(tmp_path / "whole", [])
    with pytest.raises(KilledError):
        run(tmp_path / "stopped", [KillAt(kill_at)])
    continued = run(tmp_path / "stopped", [])
    assert continued.iteration == whole.iteration == 20
    assert torch.equal(continued.network.weight, whole.network.weight)
    assert torch.equal(averaged(continued).weight, averaged(whole).weight)


def test_restoring_takes_up_the_random_state(tmp_path: Path) -> None:
    run(tmp_path / "state", [])
    expected = torch.rand(3)
    torch.manual_seed(123)
    run(tmp_path / "state", [])
    torch.testing.assert_close(torch.rand(3), expected)


def test_a_machine_with_fewer_gpus_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [torch.zeros(1), torch.ones(1)])
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", taken.extend)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    run(tmp_path / "state", [])
    run(tmp_path / "state", [])
    assert [state.tolist() for state in taken] == [[0.0]]


def test_time_already_spent_counts(tmp_path: Path) -> None:
    write_with = make_loop(RunLength(4, epochs=5), [Checkpoints(tmp_path / "state", {})])
    write_with.continue_from(iteration=4, epoch=1, seconds=100.0)
    write_with.hooks[-1].after_epoch(write_with)
    loop = make_loop(RunLength(4, budget_seconds=50.0), [Checkpoints(tmp_path / "state", {})])
    loop.run()
    assert loop.iteration == 4, "the budget was spent before"


def test_other_settings_are_refused(tmp_path: Path) -> None:
    run(tmp_path / "state", [], {"lr": 0.1, "loss": "dice"})
    with pytest.raises(OptionError, match=r"started with loss = 'dice', not 'ce'.*--restart"):
        run(tmp_path / "state", [], {"lr": 0.1, "loss": "ce"})


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_state(path, {"weights": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(FileError, match=r"state: is not a readable checkpoint"):
        read_state(path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(FileError, match="not a checkpoint of this version"):
        read_state(tmp_path / "other")


def test_state_comes_back_as_it_went(tmp_path: Path) -> None:
    state = {"a": torch.arange(3), "b": {0: {"step": torch.tensor(1.5), "x": None}, "y": [1, 2.5, "text", True]}}
    write_state(tmp_path / "state", state)
    read = read_state(tmp_path / "state")
    assert torch.equal(read["a"], state["a"])
    assert read["b"][0]["step"] == 1.5
    assert read["b"]["y"] == [1, 2.5, "text", True]
    assert read["b"][0]["x"] is None


def test_views_of_one_storage_are_kept_apart(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    write_state(tmp_path / "state", {"a": shared[:3], "b": shared[2:]})
    assert torch.equal(read_state(tmp_path / "state")["b"], torch.tensor([2.0, 3, 4, 5]))
