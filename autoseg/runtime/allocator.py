"""How the C library hands out memory to torch."""

from __future__ import annotations

import ctypes
import os

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
NEVER = -1  # as a threshold

_kept = False


def keep_freed_memory() -> bool:
    """Have the process keep what it frees, for steps that allocate the same again and again; whether that was done.

    glibc otherwise gives each freed block over 32 MiB back to the system, and the next one arrives as pages of zeros,
    one fault each: with those a copy takes five to eight times as long (decision 0140). What the user set (MALLOC_...,
    GLIBC_TUNABLES, another allocator by LD_PRELOAD) is left alone, as is every system without glibc.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")) for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc: a Mac, Windows, musl
        return False
    global _kept
    _kept = bool(mallopt(MMAP_MAX, 0)) and bool(mallopt(TRIM_THRESHOLD, NEVER))
    return _kept


def give_back_freed_memory() -> None:
    """Where freed memory is kept, give it back this once: before something else that looks at what is free."""
    if _kept:
        ctypes.CDLL(None).malloc_trim(0)
