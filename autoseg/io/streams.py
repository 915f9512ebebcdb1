"""The bytes of a file as blocks of bounded size, decompressed where they are compressed."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from autoseg.errors import FileError

BLOCK = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
COPY_AGAIN = "Copy it again from where it came from."

# Deflate spends at least two bits, a length and a distance, on a run of at most 258 bytes: 258 * 8 / 2 bytes per byte.
LARGEST_RATIO = 1032

# No header is longer; a file without line ends is not read further.
LONGEST_HEADER = 1 << 24


def file_size(path: Path) -> int:
    """The size of a file in bytes; FileError where there is no such file or it is a folder."""
    try:
        if not path.is_file():
            raise FileError(path, "is not a file." if path.exists() else "does not exist.")
        return path.stat().st_size
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror}).") from error


def is_gzip(path: Path, start: int = 0) -> bool:
    """Whether the content from byte `start` on is a gzip stream, whatever the name says."""
    return first_bytes(path, 2, start=start, compressed=False) == GZIP_MAGIC


def first_bytes(path: Path, count: int, *, start: int = 0, compressed: bool) -> bytes:
    """At most `count` bytes of the (decompressed) content from byte `start` of the file on; fewer where it ends."""
    found = b""
    for block in blocks(path, start=start, compressed=compressed):
        found += block
        if len(found) >= count:
            break
    return found[:count]


def header_lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """The lines of a file, each with the byte at which the next one starts; FileError where it cannot be read."""
    try:
        with open(path, "rb") as handle:
            while handle.tell() < LONGEST_HEADER and (line := handle.readline(LONGEST_HEADER)):
                yield line, handle.tell()
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror or error}).") from error


def blocks(path: Path, *, start: int = 0, compressed: bool) -> Iterator[bytes]:
    """The content from byte `start` of the file on, in blocks of at most 1 MiB.

    compressed: it is a zlib or gzip stream (further gzip members are appended; what else follows the stream is left
    alone). FileError where the file cannot be read, and where a stream is damaged (checksums included) or cut off.
    """
    try:
        with open(path, "rb") as handle:
            handle.seek(start)
            if compressed:
                yield from _inflated(handle, path)
                return
            while block := handle.read(BLOCK):
                yield block
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror or error}).") from error


def _inflated(handle: BinaryIO, path: Path) -> Iterator[bytes]:
    engine = _engine()
    try:
        while block := handle.read(BLOCK):
            while block:
                if engine.eof:
                    if not block.startswith(GZIP_MAGIC[: len(block)]):
                        return
                    engine = _engine()
                if made := engine.decompress(block, BLOCK):
                    yield made
                block = engine.unconsumed_tail or engine.unused_data
    except zlib.error as error:
        raise FileError(path, f"holds a damaged compressed stream ({error}).", COPY_AGAIN) from error
    if not engine.eof:
        raise FileError(path, "is cut off: its compressed stream has no end.", COPY_AGAIN)


def _engine() -> zlib._Decompress:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)


def announced_size(path: Path) -> int | None:
    """The length modulo 2^32 that the last four bytes of a gzip file announce; None where it is too short."""
    with open(path, "rb") as handle:
        size = handle.seek(0, os.SEEK_END)
        if size < 18:
            return None
        handle.seek(-4, os.SEEK_END)
        return int.from_bytes(handle.read(4), "little")


class Taps:
    """A stream of blocks, read in portions of any size."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._rest = memoryview(b"")

    def skip(self, count: int) -> int:
        """Leave out `count` bytes; the result is how many there were."""
        left = count
        while left and self._refill():
            taken = min(left, len(self._rest))
            self._rest, left = self._rest[taken:], left - taken
        return count - left

    def fill(self, target: np.ndarray) -> int:
        """Fill an array of bytes; the result is how many there were."""
        done = 0
        while done < len(target) and self._refill():
            taken = min(len(target) - done, len(self._rest))
            target[done : done + taken] = np.frombuffer(self._rest[:taken], np.uint8)
            self._rest, done = self._rest[taken:], done + taken
        return done

    def drain(self) -> None:
        """Read to the end, which is where checksums stand."""
        for _ in self._source:
            pass

    def _refill(self) -> bool:
        if not len(self._rest):
            self._rest = memoryview(next(self._source, b""))
        return len(self._rest) > 0
