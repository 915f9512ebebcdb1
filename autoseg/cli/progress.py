"""A progress bar over cases."""

from __future__ import annotations

from typing import Any


class CaseBar:
    """A bar on a terminal, else nothing; opened with the first case. Use as a context manager."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: Any = None

    def __enter__(self) -> CaseBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int, total: int) -> None:
        """Move the bar to `done` of `total` cases."""
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=self._title, unit="case", disable=None)
        self._bar.update(done - self._bar.n)
