"""Batches made ahead of the training that uses them, in one thread or in processes."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import torch

from autoseg.data.source import Batch, PatchSource
from autoseg.errors import ResourceError

AHEAD_PER_WORKER = 2

_source: PatchSource | None = None


class BatchLoader:
    """Iterates over batch(start), batch(start + 1), ... of a source, without an end.

    workers: processes; 0 for one thread of this process, which suits two cores: there is nothing to copy and no second
    interpreter. The batches are the same for every number. An error in a worker is raised by the next step of the
    iteration, whatever batch it belongs to, with the worker's traceback; a worker that was killed is a ResourceError.
    pinned: batches lie in memory that a GPU can copy from while it computes, put there by a thread.
    Use as a context manager, or call close().
    """

    def __init__(self, source: PatchSource, *, start: int = 0, workers: int = 0, pinned: bool = False) -> None:
        self._next, self._ahead = start, AHEAD_PER_WORKER * max(1, workers)
        self._waiting: deque[Future[Batch]] = deque()
        self._executor: Executor
        self._make: Callable[[int], Batch]
        if workers:
            self._executor = _processes(source, workers)
            self._make = _batch_in_process
        else:
            self._executor = _thread()
            self._make = source.batch
        self._pinner = ThreadPoolExecutor(1, "pinning") if pinned else None

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """The next batch; waits until it is made."""
        try:
            while len(self._waiting) <= self._ahead:
                self._waiting.append(self._submit(self._next))
                self._next += 1
            for future in self._waiting:
                if future.done():
                    future.result()
            return self._waiting.popleft().result()
        except BrokenProcessPool as error:
            self.close()
            raise ResourceError(
                "A process that makes batches ended by itself: most often it was killed for lack of memory.",
                "Use fewer --workers (0 needs least memory), or a smaller patch or batch.",
            ) from error
        except Exception:
            self.close()
            raise

    def _submit(self, index: int) -> Future[Batch]:
        made = self._executor.submit(self._make, index)
        return made if self._pinner is None else self._pinner.submit(_pinned, made)

    def close(self) -> None:
        """Stop making batches; those that were made ahead are dropped."""
        self._waiting.clear()
        self._executor.shutdown(wait=True, cancel_futures=True)
        if self._pinner is not None:
            self._pinner.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> BatchLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _pinned(made: Future[Batch]) -> Batch:
    return made.result().pin_memory()


def _thread() -> ThreadPoolExecutor:
    """One thread that computes on one core, so that it does not crowd out training."""
    threads = torch.get_num_threads()
    executor = ThreadPoolExecutor(1, "batches")
    executor.submit(torch.set_num_threads, 1).result()
    torch.set_num_threads(threads)  # PyTorch keeps a count per thread, and one for threads to come: restore both here
    return executor


def _processes(source: PatchSource, workers: int) -> ProcessPoolExecutor:
    """Fresh processes that hold the source; they end with this one."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, _start_process, (source,))


def _start_process(source: PatchSource) -> None:
    global _source
    _source = source
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which then closes the loader
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave when the training was killed: nobody else would tell."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _batch_in_process(index: int) -> Batch:
    assert _source is not None
    return _source.batch(index)
