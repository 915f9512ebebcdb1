"""Errors become sentences, and commands tell what comes next."""

from __future__ import annotations

import argparse
import errno
from collections.abc import Callable

import numpy as np
import pytest
import torch

from autoseg.cli import app


def run(command: Callable[..., int], *options: str) -> int:
    return app.run(command, app.parser("Test."), options)


def raising(error: Exception) -> Callable[..., int]:
    def command(options: argparse.Namespace) -> int:
        raise error

    return command


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((1, 1), np.dtype(float)),  # type: ignore[attr-defined]
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_too_little_memory_is_a_sentence(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(error)) == 2
    assert "memory of this machine was not enough" in capsys.readouterr().err
    with pytest.raises(type(error)):
        run(raising(error), "--debug")


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), OSError(errno.EIO, "shape of the disk")])
def test_other_errors_are_not_hidden(error: Exception) -> None:
    with pytest.raises(type(error), match="shape"):
        run(raising(error))


def test_a_reader_who_leaves_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []
    monkeypatch.setattr(app.os, "dup2", lambda *descriptors: closed.append(1))
    assert run(raising(BrokenPipeError())) == 0
    assert closed


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"root": None}, ""),
        ({"root": None, "plans_name": "plans"}, ""),
        ({"root": "R", "plans_name": "long"}, " --root R --plans-name long"),
        ({"root": "my data"}, " --root 'my data'"),
    ],
)
def test_the_next_command_goes_to_the_same_place(given: dict[str, str | None], expected: str) -> None:
    assert app.further(argparse.Namespace(**given)) == expected


@pytest.mark.parametrize(("text", "expected"), [("90s", 90.0), ("10m", 600.0), ("1.5h", 5400.0)])
def test_durations(text: str, expected: float) -> None:
    assert app.seconds(text) == expected


@pytest.mark.parametrize("text", ["2", "0m", "-1s", "m", "10 minutes"])
def test_a_duration_needs_its_unit(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a duration such as"):
        app.seconds(text)
