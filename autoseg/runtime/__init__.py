"""What this machine can do: device, threads, number formats, speed and memory, and a cache of what was measured."""

from __future__ import annotations

from autoseg.memory import available_memory_bytes, peak_memory_bytes
from autoseg.runtime.cache import cache_folder
from autoseg.runtime.device import choose_device, describe_device
from autoseg.runtime.precision import PRECISIONS, autocast, choose_precision
from autoseg.runtime.speed import seconds_per_multiply_add
from autoseg.runtime.threads import current_threads, tell_torch, usable_cores, use_threads

__all__ = [
    "PRECISIONS",
    "autocast",
    "available_memory_bytes",
    "cache_folder",
    "choose_device",
    "choose_precision",
    "current_threads",
    "describe_device",
    "peak_memory_bytes",
    "seconds_per_multiply_add",
    "tell_torch",
    "usable_cores",
    "use_threads",
]
