"""What a process may hold while it predicts: kept, or refused beforehand with what would fit."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import psutil

from autoseg.errors import ResourceError
from autoseg.inference.chain import Chain, Wanted
from autoseg.inference.memory import LIBRARIES, Source, case_bytes, file_bytes, kept_bytes, written_bytes
from autoseg.inference.places import check_room
from autoseg.runtime import available_memory_bytes


@dataclass(frozen=True)
class Limit:
    """What a process may hold.

    limit_bytes: None for what is free. base_bytes: what it holds before the volume is read, and what its engines will
    keep. waiting: volumes that are read before their turn, while others are predicted and written. flight_bytes: what
    those take that wait and that are written.
    """

    limit_bytes: int | None
    base_bytes: int
    waiting: int = 0
    flight_bytes: int = 0

    @classmethod
    def now(cls, limit_bytes: int | None, chains: Sequence[Chain], *, held_bytes: int = 0) -> Limit:
        """For a prediction that begins now. held_bytes: of the volume, where the process holds it already."""
        return cls(limit_bytes, max(0, _resident_bytes() - held_bytes) + kept_bytes(chains))

    def wanted(self, chains: Sequence[Chain], source: Source, wanted: Wanted, *, cleans: bool) -> Wanted:
        """The same, with sums in a file where they do not fit; ResourceError where that does not fit either.

        Where the disk has no room for the file, sums stay in memory, unless a limit was given. cleans: whether
        postprocessing follows.
        """
        whole, in_file = (
            self.peak_bytes(chains, source, replace(wanted, in_file=choice), cleans=cleans) for choice in (False, True)
        )
        limit = _resident_bytes() + available_memory_bytes() if self.limit_bytes is None else self.limit_bytes
        if whole <= limit:
            return wanted
        if in_file > limit and self.limit_bytes is not None:
            raise self._refusal(chains, source, replace(wanted, in_file=True), in_file, cleans)
        try:
            check_room(file_bytes(chains, source))
        except ResourceError as error:
            if self.limit_bytes is None:
                return wanted
            remedy = f"Set TMPDIR to a folder on a disk with room, or give at least --memory {_gigabytes(whole)}."
            raise ResourceError(error.fact, remedy) from error
        return replace(wanted, in_file=True)

    def peak_bytes(self, chains: Sequence[Chain], source: Source, wanted: Wanted, *, cleans: bool) -> int:
        """The estimate for the whole process."""
        return self.base_bytes + LIBRARIES + self.flight_bytes + case_bytes(chains, source, wanted, cleans=cleans)

    def _refusal(
        self, chains: Sequence[Chain], source: Source, wanted: Wanted, peak: int, cleans: bool
    ) -> ResourceError:
        assert self.limit_bytes is not None
        shape, limit = " x ".join(map(str, source.shape)), self.limit_bytes / 2**30
        fact = f"Predicting {shape} voxels takes {_gigabytes(peak)}, more than --memory {limit:.2f}G."
        changes = {
            "--save-probabilities left out": (chains, replace(wanted, probabilities=len(chains) > 1), cleans),
            "--no-postprocessing": (chains, wanted, False),
            "one configuration alone": (chains[:1], replace(wanted, labels=True, probabilities=False), cleans),
        }
        fits = []
        for change, (some, less, cleaned) in changes.items():
            needed = self.peak_bytes(some, source, less, cleans=cleaned)
            if needed <= self.limit_bytes:
                fits.append(f"{change} ({_gigabytes(needed)})")
        remedy = f"Give at least --memory {_gigabytes(peak)}" + (f"; or: {', '.join(fits)}" if fits else "")
        return ResourceError(fact, f"{remedy}.")


def limit_for_cases(
    chains: Sequence[Chain],
    sources: Mapping[str, Source],
    wanted: Wanted,
    limit: Limit,
    *,
    cleans: bool,
) -> Limit:
    """The limit with as many volumes waiting as there are and as fit; none, before sums go to a file because of them.

    sources: the cases, by id. Raises ResourceError for the first case that does not fit even alone.
    """
    alone, asked = replace(limit, waiting=0, flight_bytes=0), {}
    for case_id, source in sources.items():
        try:
            asked[case_id] = alone.wanted(chains, source, wanted, cleans=cleans)
        except ResourceError as error:
            raise ResourceError(f"{case_id}: {error.fact}", error.remedy) from error
    waiting = min(limit.waiting, len(sources) - 1)
    flight = _flight_bytes(chains, sources.values(), wanted, waiting)
    ahead = replace(limit, waiting=waiting, flight_bytes=flight)
    if limit.limit_bytes is None:
        return ahead
    try:
        same = all(ahead.wanted(chains, sources[name], wanted, cleans=cleans) == one for name, one in asked.items())
    except ResourceError:
        same = False
    return ahead if same else alone


def _flight_bytes(chains: Sequence[Chain], sources: Collection[Source], wanted: Wanted, waiting: int) -> int:
    """What volumes take that wait, and the one that is written, at most: whichever follow each other."""
    if not waiting:
        return 0
    largest = sorted((source.bytes for source in sources), reverse=True)[:waiting]
    return sum(largest) + max(written_bytes(chains, source, wanted) for source in sources)


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def _gigabytes(count: int) -> str:
    """Rounded up, so that what is told suffices: 3.4G."""
    return f"{math.ceil(count / 2**30 * 10) / 10:.1f}G"
