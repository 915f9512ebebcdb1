"""A weighted sum of terms that share one look at the logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from autoseg.labels import Labels
from autoseg.losses.comparison import Comparison, compare
from autoseg.losses.target import Target

Term = Callable[[Comparison], Tensor]


class CombinedLoss(nn.Module):
    """The sum of factor * term over terms; each term takes a Comparison and gives a scalar, at least 0."""

    def __init__(self, terms: Sequence[tuple[float, Term]], labels: Labels) -> None:
        super().__init__()
        self.terms, self.labels = tuple(terms), labels

    def forward(self, logits: Tensor, target: Target) -> Tensor:
        """logits: (B, K, ...); target.labels: (B, ...) of the same spatial shape."""
        comparison = compare(logits, target, self.labels)
        parts = [factor * term(comparison) for factor, term in self.terms]
        return sum(parts[1:], parts[0])
