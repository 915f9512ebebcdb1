"""Times, told to people."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Format 75 as 1m15s, 4000 as 1h06m, 12 as 12s."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    return f"{whole // 60}m{whole % 60:02d}s" if whole < 3600 else f"{whole // 3600}h{whole % 3600 // 60:02d}m"
