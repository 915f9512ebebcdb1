from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from itertools import islice
from pathlib import Path

import pytest
import torch

from autoseg.data.loader import BatchLoader
from autoseg.data.source import PatchSource
from autoseg.errors import FileError, ResourceError


def images(source: PatchSource, *, workers: int, start: int = 0, count: int = 5) -> list[torch.Tensor]:
    with BatchLoader(source, start=start, workers=workers) as loader:
        return [batch.image for batch in islice(loader, count)]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_the_source(stored: PatchSource, workers: int) -> None:
    for index, image in enumerate(images(stored, workers=workers, start=3), start=3):
        assert torch.equal(image, stored.batch(index).image)
    assert not multiprocessing.active_children()


def test_a_thread_leaves_the_count_of_threads_alone(stored: PatchSource) -> None:
    before = torch.get_num_threads()
    images(stored, workers=0)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_arrives_with_the_worker_s_traceback(stored: PatchSource, workers: int) -> None:
    for path in Path(stored.store.folder).glob("*[01].npy"):
        path.unlink()
    with pytest.raises(FileError, match=r"case_\d.npy: does not exist") as raised:
        images(stored, workers=workers)
    text = "".join(traceback.format_exception(raised.value))
    assert "cut_image(self.store.image(case_id), box, change)" in text


def test_a_killed_worker_is_noticed_within_seconds(stored: PatchSource) -> None:
    with BatchLoader(stored, workers=1) as loader:
        next(loader)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        started = time.monotonic()
        with pytest.raises(ResourceError, match="killed"):
            list(islice(loader, 20))
        assert time.monotonic() - started < 5


def test_a_closed_loader_makes_no_batches(stored: PatchSource) -> None:
    loader = BatchLoader(stored)
    loader.close()
    with pytest.raises(RuntimeError, match="after shutdown"):
        next(loader)
