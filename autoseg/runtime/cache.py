"""Measurements of this machine, remembered on disk so that they are made once."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from autoseg.errors import AutosegError
from autoseg.files import checksum_of, read_json, write_json
from autoseg.runtime.threads import current_threads

CACHE_SCHEMA = 1
VECTOR_INSTRUCTIONS = {
    "AVX512": {"avx512f", "avx512vl", "avx512bw", "avx512dq", "fma"},
    "AVX2": {"avx2", "fma"},
}
"""By what torch calls them what a processor must have for them."""
LOG = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where measurements and converted networks are kept: the environment's AUTOSEG_CACHE, else ~/.cache/autoseg."""
    return Path(os.environ.get("AUTOSEG_CACHE") or Path.home() / ".cache" / "autoseg").expanduser()


def machine() -> dict[str, Any]:
    """What a measurement depends on: the processor, the version of torch and the number of threads.

    A name is not enough: virtual machines call processors of different generations "AMD EPYC". Torch is not loaded.
    """
    return {
        "processor": processor_name(),
        "generation": processor_generation(),
        "instructions": vector_instructions(),
        "torch": version("torch"),
        "threads": current_threads(),
    }


def processor_name() -> str:
    """The processor's name as the system gives it."""
    return _processor().get("model name") or platform.processor() or platform.machine()


def processor_generation() -> str:
    """The numbers of the processor's generation as the system gives them; empty where it has none."""
    numbers = _processor()
    return ", ".join(f"{name} {numbers[name]}" for name in ("cpu family", "model", "stepping") if name in numbers)


def vector_instructions() -> str:
    """The widest vectors that torch computes with on this processor, as torch calls them."""
    flags = set(_processor().get("flags", "").split())
    known = (name for name, needed in VECTOR_INSTRUCTIONS.items() if needed <= flags)
    return os.environ.get("ATEN_CPU_CAPABILITY", "").upper() or next(known, "DEFAULT")


def _processor() -> dict[str, str]:
    """What the system tells of the first processor."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":")[::2] for line in first.splitlines())
    return {name.strip(): value.strip() for name, value in pairs}


def recalled(name: str, key: Any) -> Any:
    """What was measured under this name and key, plain JSON values; None where nothing usable is kept."""
    try:
        kept = read_json(_path(name, key))
    except AutosegError as error:
        LOG.debug("Nothing remembered: %s", error)
        return None
    if isinstance(kept, dict) and kept.get("schema") == CACHE_SCHEMA and kept.get("key") == key:
        return kept.get("value")
    return None


def remembered(name: str, key: Any, measure: Callable[[], Any]) -> Any:
    """What was measured under this name and key, plain JSON values and never None; measured now where nothing is kept.

    A cache that cannot be written costs the next measurement and nothing else.
    """
    kept = recalled(name, key)
    if kept is not None:
        return kept
    value = measure()
    remember(name, key, value)
    return value


def remember(name: str, key: Any, value: Any) -> None:
    """Keep what was measured under this name and key, plain JSON values; a cache that cannot be written is left."""
    try:
        write_json(_path(name, key), {"schema": CACHE_SCHEMA, "key": key, "value": value})
    except AutosegError as error:
        LOG.debug("Not remembered: %s", error)


def _path(name: str, key: Any) -> Path:
    return cache_folder() / f"{name}-{checksum_of(key)[:16]}.json"
