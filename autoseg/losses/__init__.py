"""Losses: terms by name, and weighted sums of them written as "dice+ce" or "0.5*dice+focal"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoseg.errors import OptionError
from autoseg.labels import Labels
from autoseg.registry import resolve

if TYPE_CHECKING:
    from torch import nn

LOSSES = {
    "dice": "autoseg.losses.dice:dice",
    "tversky": "autoseg.losses.dice:tversky",
    "ce": "autoseg.losses.cross_entropy:cross_entropy",
    "focal": "autoseg.losses.cross_entropy:focal",
}


def build_loss(expression: str, labels: Labels, *, batch_dice: bool) -> nn.Module:
    """The loss that an expression names: loss(logits (B, K, ...), Target) gives a scalar, at least 0.

    expression: terms of LOSSES joined by "+", each with an optional factor before a "*". batch_dice: overlaps are taken
    over the batch as one volume, instead of per sample. Raises OptionError for what cannot be read, listing the terms.
    """
    from autoseg.losses.combined import CombinedLoss

    terms = []
    for factor, name in parse_expression(expression):
        make = resolve("loss", LOSSES, name)
        terms.append((factor, make(batch_dice=batch_dice)))
    return CombinedLoss(terms, labels)


def parse_expression(expression: str) -> list[tuple[float, str]]:
    """The factor and the name of each term: "0.5*dice+ce" is [(0.5, "dice"), (1.0, "ce")]."""
    terms = []
    for part in expression.split("+"):
        before, star, after = part.rpartition("*")
        name = after.strip()
        try:
            factor = float(before) if star else 1.0
        except ValueError:
            factor = -1.0
        if not name or not 0 < factor < float("inf"):
            raise OptionError(
                f"--loss {expression!r} cannot be read at {part.strip()!r}.",
                f"Write a sum such as 0.5*dice+ce, with positive factors; terms are {', '.join(LOSSES)}.",
            )
        terms.append((factor, name))
    return terms
