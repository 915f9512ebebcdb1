"""What this machine can do: threads, number formats, speed, memory, and a cache of what was measured."""

from __future__ import annotations

from autoseg.runtime.precision import autocast

__all__ = ["autocast"]
