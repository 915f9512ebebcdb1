"""Doing one thing for many cases in threads, with results in the order of the cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """Yield function(item) for each item, in order, computed by `workers` threads.

    Made for reading and writing volumes: decompression and numpy release the interpreter's lock. An error in one item
    is raised in its turn; then, and on an interrupt, items that were not begun are dropped.
    """
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
