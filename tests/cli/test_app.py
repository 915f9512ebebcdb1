"""Errors become sentences, and commands tell what comes next."""

from __future__ import annotations

import argparse
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
    ],
)
def test_too_little_memory_is_a_sentence(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(error)) == 2
    assert "memory of this machine was not enough" in capsys.readouterr().err
    with pytest.raises(type(error)):
        run(raising(error), "--debug")


def test_other_runtime_errors_are_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="shape"):
        run(raising(RuntimeError("shape mismatch")))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"root": None}, ""),
        ({"root": None, "plans_name": "plans"}, ""),
        ({"root": "R", "plans_name": "long"}, " --root R --plans-name long"),
    ],
)
def test_the_next_command_goes_to_the_same_place(given: dict[str, str | None], expected: str) -> None:
    assert app.further(argparse.Namespace(**given)) == expected
