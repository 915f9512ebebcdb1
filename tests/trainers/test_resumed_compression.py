"""A compression that was killed within a step ends as one that was not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autoseg.training.loop import TrainingLoop
from tests.commands import NAME, TRAIN, command


@pytest.mark.parametrize(
    ("trainer", "options"),
    [("threshold_pruning", ["--threshold", "0.4,0.4,0.4"]), ("quantization", ["--levels", 7])],
)
def test_its_files_are_the_same(
    root: Path, trainer: str, options: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*TRAIN, "--precision", "fp32", "--epochs", 2, "--trainer", trainer, *options, "--tag"]
    whole, killed = (root / "results" / NAME / f"{trainer}-{tag}__plans__3d_fullres" for tag in ("whole", "killed"))
    step = TrainingLoop._step

    def dying(loop: TrainingLoop, batch: Any) -> None:
        if loop.iteration == 3:
            raise KeyboardInterrupt
        step(loop, batch)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingLoop, "_step", dying)
        assert command(*words, "killed", root=root) == 130
    assert len(list(killed.rglob("checkpoint_latest.safetensors"))) == 1
    assert not (killed / "fold_0" / "model.safetensors").exists()
    for tag in ("killed", "whole"):
        assert command(*words, tag, root=root) == 0
    first, second = (folder / "fold_0" / "model.safetensors" for folder in (whole, killed))
    assert content(first) == content(second)
    full = root / "results" / NAME / "standard__plans__3d_fullres" / "fold_0" / "model.safetensors"
    assert content(first) != content(full)


def content(path: Path) -> tuple[Any, bytes]:
    """The header of a safetensors file, whose entries come in any order, and the bytes behind it."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]
