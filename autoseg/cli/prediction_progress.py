"""How a prediction goes, told to the user and kept in the manifest."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from autoseg.errors import AutosegError, FileError

if TYPE_CHECKING:
    from autoseg.inference.manifest import Manifest
    from autoseg.inference.queue import Listener


class PredictionProgress:
    """A bar on a terminal, else a line per case, on stderr; both with the time left.

    folder: gets the manifest after each case. count: of the cases that are to be predicted.
    """

    def __init__(self, folder: Path, manifest: Manifest, count: int) -> None:
        self.folder = folder
        self.manifest = manifest
        self.count = count
        self.failures: dict[str, str] = {}  # as text: an error holds on to the arrays of its frames
        self._finished = 0
        self._started = time.perf_counter()
        self._bar: Any = None

    @property
    def listener(self) -> Listener:
        """For predict_cases."""
        from autoseg.inference.queue import Listener

        return Listener(self._predicting, self._written, self._failed)

    def __enter__(self) -> PredictionProgress:
        """Open the bar."""
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self.count, bar_format="{desc} {percentage:3.0f}%|{bar}| {postfix}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()

    def raise_failures(self) -> None:
        """Raise one error that names every case that was left out, if any was."""
        if self.failures:
            told = "\n".join(f"{case_id}: {error}" for case_id, error in self.failures.items())
            raise FileError(self.folder, f"{len(self.failures)} of {self.count} cases were not predicted:\n{told}")

    def _predicting(self, case_id: str, fraction: float) -> None:
        if self._bar is not None:
            self._bar.n = min(self._finished + fraction, self.count)
            self._bar.set_description_str(f"{case_id} ({min(self._finished + 1, self.count)} of {self.count})")
            self._bar.set_postfix_str(f"{self._left(self._bar.n)} left")

    def _written(self, case_id: str, seconds: float, not_found: dict[str, str], missed: dict[str, str]) -> None:
        from autoseg.inference.manifest import write_manifest

        self._finished += 1
        self.manifest = self.manifest.with_case(case_id, seconds, not_found, missed)
        write_manifest(self.folder, self.manifest)
        for organ, reason in not_found.items():
            self._warn(f"{case_id}: {organ} was not found: {reason}")
        for organ, told in missed.items():
            if organ not in not_found:
                self._warn(f"{case_id}: {organ}: {told}")
        self._tell(f"{case_id}: {seconds:.1f} s")

    def _failed(self, case_id: str, error: AutosegError) -> None:
        self._finished += 1
        self.failures[case_id] = str(error)
        self._tell(f"{case_id}: left out: {error}")

    def _warn(self, text: str) -> None:
        if self._bar is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._bar.write(text, file=sys.stderr)

    def _tell(self, text: str) -> None:
        if self._bar is None:
            left = self._left(self._finished)
            print(f"{text}, {self._finished} of {self.count} done, {left} left", file=sys.stderr, flush=True)
        elif self.failures:
            self._bar.write(text, file=sys.stderr)

    def _left(self, done: float) -> str:
        from autoseg.durations import duration

        passed = time.perf_counter() - self._started
        return duration(passed * (self.count - done) / done) if done > 0 else "?"
