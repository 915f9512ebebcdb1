"""Numbers of a few bits each, one after the other without a gap, the lowest bit first."""

from __future__ import annotations

import numpy as np

BLOCK = 1 << 18
"""Numbers at a time, a multiple of eight, so that a block ends with a whole byte: each takes `bits` bytes meanwhile."""


def join_bits(numbers: np.ndarray, bits: int) -> np.ndarray:
    """(ceil(n * bits / 8),) uint8. numbers: (n,) whole numbers from 0 to 2**bits - 1; bits: 0 to 16."""
    places = np.arange(bits, dtype=np.uint16)
    parts = [
        np.packbits(
            ((numbers[at : at + BLOCK, None].astype(np.uint16) >> places) & 1).astype(np.uint8), bitorder="little"
        )
        for at in range(0, len(numbers), BLOCK)
    ]
    return np.concatenate([np.empty(0, np.uint8), *parts])


def split_bits(data: np.ndarray, bits: int, count: int) -> np.ndarray:
    """(count,) uint16, what join_bits was given. data: uint8, at least as many as that takes."""
    numbers = np.zeros(count, dtype=np.uint16)
    if bits == 0:
        return numbers
    places = np.arange(bits, dtype=np.uint16)
    for at in range(0, count, BLOCK):
        size = min(BLOCK, count - at)
        held = data[at * bits // 8 : -(-(at + size) * bits // 8)]
        part = np.unpackbits(held, count=size * bits, bitorder="little").reshape(size, bits)
        numbers[at : at + size] = (part.astype(np.uint16) << places).sum(axis=1, dtype=np.uint16)
    return numbers
