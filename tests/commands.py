"""The commands of autoseg on small phantoms, run in this process, without minutes of measuring the machine."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataset_conversion.phantom import write_phantom_dataset

NAME = "Dataset001_Phantom"
SMALL = ("--base-filters", 8, "--pooling", 2, "--device", "cpu", "--budget", "60s")
"""Planning options of a network that trains in no time."""


def command(name: str, *arguments: object, root: Path) -> int:
    """Run autoseg_NAME in this process."""
    main = importlib.import_module(f"autoseg.cli.{name}").main
    return main([*map(str, arguments), "--root", str(root)])


def small_workspace(root: Path, *planning: object) -> Path:
    """A phantom dataset of five cases and a test case, 16 x 16 x 16, planned and prepared; gives the root."""
    write_phantom_dataset(root / "raw" / NAME, cases=5, test_cases=1, shape=(16, 16, 16))
    plan = ["plan_and_preprocess", "-d", 1, *SMALL, "--patch-size", "16,16,16", *planning]
    assert command(*map(str, plan), root=root) == 0
    return root


@contextlib.contextmanager
def no_measuring(*, patches: int = 4) -> Iterator[pytest.MonkeyPatch]:
    """Compressions without a minute of measuring, engines tried in this process, int8 calibrated on a few patches."""
    from autoseg.compression.latency import Latency
    from autoseg.inference.backends import choice
    from autoseg.inference.backends.probe import answer

    def latency(stage: object, networks: list, *, device: str) -> Latency:
        return Latency(tuple(1.0 for _ in networks), "none")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("autoseg.compression.latency.measured_latency", latency)
        patched.setattr("trainers.measures.measured_latency", latency)
        patched.setattr(choice, "ask", lambda request: answer(request).trials)
        patched.setattr("trainers.int8.PATCHES", patches)
        yield patched


@contextlib.contextmanager
def usual_speed() -> Iterator[None]:
    """Plans that do not depend on how fast the machine is."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("autoseg.runtime.seconds_per_multiply_add", lambda device: 1e-11)
        yield
