"""Prepared cases kept in memory, as far as memory reaches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from autoseg.preprocessing.case import CaseRecord
from autoseg.preprocessing.store import PreparedStore

LOGGER = logging.getLogger(__name__)
MEMORY_SHARE = 0.5
"""Of what is available: the rest is for the network."""


class CachedCases:
    """Answers like the store that it reads from, and keeps the cases that it has read.

    case_ids: the cases to keep. limit_bytes: no case is kept beyond it; those are read anew each time. A copy that
    is sent to another process starts empty.
    """

    def __init__(self, store: PreparedStore, case_ids: Sequence[str], limit_bytes: int) -> None:
        self.store = store
        self.kept = self._choose(sorted(case_ids), limit_bytes)
        self._arrays: dict[tuple[str, str], Any] = {}

    def _choose(self, case_ids: Sequence[str], limit_bytes: int) -> frozenset[str]:
        kept: list[str] = []
        total = 0
        for case_id in case_ids:
            total += self.store.image(case_id).nbytes + self.store.labels(case_id).nbytes
            if total > limit_bytes:
                LOGGER.info(
                    "%d of %d cases are kept in memory, %.1f GiB at most; the others are read when they are needed.",
                    *(len(kept), len(case_ids), limit_bytes / 1024**3),
                )
                break
            kept.append(case_id)
        return frozenset(kept)

    def image(self, case_id: str) -> np.ndarray:
        """(C, z, y, x) float32, not to be written to."""
        return self._array("image", case_id)

    def labels(self, case_id: str) -> np.ndarray:
        """(z, y, x) int16, not to be written to."""
        return self._array("labels", case_id)

    def foreground(self, case_id: str) -> dict[str, np.ndarray]:
        """See PreparedStore.foreground."""
        return self._remembered("foreground", case_id, self.store.foreground)

    def record(self, case_id: str) -> CaseRecord:
        """See PreparedStore.record."""
        return self.store.record(case_id)

    def _array(self, kind: str, case_id: str) -> np.ndarray:
        read = getattr(self.store, kind)
        return self._remembered(kind, case_id, lambda case_id: np.array(read(case_id)), otherwise=read)

    def _remembered(self, kind: str, case_id: str, read: Any, *, otherwise: Any = None) -> Any:
        if case_id not in self.kept:
            return (otherwise or read)(case_id)
        key = (kind, case_id)
        if key not in self._arrays:
            self._arrays[key] = read(case_id)
        return self._arrays[key]

    def __getstate__(self) -> dict[str, Any]:
        return {"store": self.store, "kept": self.kept, "_arrays": {}}


def cached_cases(store: PreparedStore, case_ids: Sequence[str], *, processes: int = 0) -> CachedCases:
    """The cases of a store, kept in half of the memory that is available, shared out among loading processes."""
    from autoseg.runtime import available_memory_bytes

    return CachedCases(store, case_ids, int(MEMORY_SHARE * available_memory_bytes() / max(1, processes)))
