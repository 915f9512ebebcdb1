"""What the tensors of a network that organs share are called, and what in the network of one organ. Without torch."""

from __future__ import annotations

import re
from collections.abc import Iterable

EACH = re.compile(r"\.each\.(\d+)\.")
TRUNK = "trunk."


def names_of_organ(names: Iterable[str], number: int) -> dict[str, str]:
    """For each tensor of the ordinary network of one organ the name that it has in the shared one.

    names: of all tensors of a SharedNetwork.
    """
    found = {}
    for name in names:
        own = EACH.search(name)
        if own is None or int(own[1]) == number:
            found[ordinary_name(name)] = name
    return found


def ordinary_name(name: str) -> str:
    """What a tensor of a SharedNetwork is called in the network of one organ; of another network, as it is."""
    return EACH.sub(".", name).removeprefix(TRUNK)
