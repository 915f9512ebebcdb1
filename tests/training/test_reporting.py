"""The report: durations, training.jsonl that survives a stop, and a picture."""

import json
from pathlib import Path

import pytest
from toy import make_loop

from autoseg.durations import duration
from autoseg.training.checkpoint import Checkpoints
from autoseg.training.loop import RunLength
from autoseg.training.reporting import History, Reporter


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59, "59s"), (75, "1m15s"), (3599, "59m59s"), (4000, "1h06m")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_line_per_epoch_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    make_loop(RunLength(4, epochs=3), [Reporter("fold 0")]).run()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("fold 0 epoch 2: 8 iterations, loss ")
    assert lines[2].endswith("0s left")


def test_history_has_each_epoch_once_after_a_stop(tmp_path: Path) -> None:
    for epochs in (2, 4):
        hooks = [History(tmp_path), Checkpoints(tmp_path / "state", {})]
        make_loop(RunLength(4, epochs=epochs), hooks).run()
    lines = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]
    assert [line["iterations"] for line in lines] == [4, 8, 12, 16]
    assert (tmp_path / "progress.png").read_bytes().startswith(b"\x89PNG")
