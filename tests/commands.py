"""The commands of autoseg on small phantoms, run in this process, without minutes of measuring the machine."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autoseg.dataset import read_dataset
from autoseg.inference.chain import ChainOutput
from autoseg.inference.model_files import ModelFiles
from autoseg.io import Volume, read_labels
from dataset_conversion.phantom import write_phantom_dataset

NAME = "Dataset001_Phantom"
SMALL = ("--base-filters", 8, "--pooling", 2, "--device", "cpu", "--budget", "60s")
"""Planning options of a network that trains in no time."""
TRAIN = ["train", 1, "3d_fullres", "--folds", 0, "--epochs", 1, "--iterations-per-epoch", 2, "--threads", 1]
"""Its training."""


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
def watched_unlabelled() -> Iterator[dict[str, Any]]:
    """By stage the patches of unlabelled images that teachers ask for, or None where there are none."""
    from trainers.unlabelled import unlabelled_patches

    asked: dict[str, Any] = {}

    def watched(folder: Path, task: Any, settings: Any) -> Any:
        asked[task.stage.name] = unlabelled_patches(folder, task, settings)
        return asked[task.stage.name]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("trainers.teaching.unlabelled_patches", watched)
        yield asked


@dataclass(frozen=True)
class KnowingLocator:
    """In place of the stages before: it finds in a test case what was drawn there, but for one class."""

    root: Path
    missed: str

    def __call__(self, files: ModelFiles, count: int, options: Any, *, volumes: int) -> KnowingLocator:
        assert [stage.name for stage in files.stages[:count]] == ["locate"]
        return self

    def prepare(self, volume: Volume, *, case_id: str) -> str:
        return case_id

    def run(self, case_id: str) -> ChainOutput:
        labels = drawn_labels(self.root, case_id).array.copy()
        (value,) = read_dataset(self.root / "raw" / NAME).labels.classes[self.missed]
        labels[labels == value] = 0
        return ChainOutput(labels, None)


def drawn_labels(root: Path, case_id: str) -> Volume:
    """Of a test case."""
    return read_labels(root / "raw" / NAME / "labelsTs" / f"{case_id}.nii.gz")


@contextlib.contextmanager
def usual_speed() -> Iterator[None]:
    """Plans that do not depend on how fast the machine is."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("autoseg.runtime.seconds_per_multiply_add", lambda device: 1e-11)
        yield
