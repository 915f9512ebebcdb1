"""Names that are safe as the name of a folder or a file."""

from __future__ import annotations

import re


def plain_name(text: str) -> str:
    """The text with everything but letters, digits, hyphens and underscores turned into underscores.

    >>> plain_name("Head & neck (v2)")
    'Head_neck_v2'
    """
    return re.sub(r"[^A-Za-z0-9-]+", "_", text).strip("_") or "unnamed"
