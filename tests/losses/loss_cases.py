"""Labels, logits and targets for the tests of losses."""

from __future__ import annotations

import torch

from autoseg.labels import Labels
from autoseg.losses.target import Target

ONE_CLASS = Labels({"a": (1,)})
TWO_CLASSES = Labels({"a": (1,), "b": (2,)})
REGIONS = Labels({"whole": (1, 2), "core": (2,)}, region_values=(1, 2))


def logits_of(probabilities: list[list[list[float]]]) -> torch.Tensor:
    """(B, K, N) logits whose softmax is the given (B, N, K) probabilities."""
    return torch.tensor(probabilities, dtype=torch.float64).log().transpose(1, 2)


def target_of(labels: list[list[int]], classes: int = 2) -> Target:
    """Labels (B, N), every class contoured."""
    return Target(torch.tensor(labels), torch.ones(len(labels), classes, dtype=torch.bool))


def random_case(labels: Labels) -> tuple[torch.Tensor, Target]:
    """(2, K, 60) float64 logits, and labels in which both classes occur."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, labels.output_count, 60, generator=generator, dtype=torch.float64)
    values = torch.randint(0, 3, (2, 60), generator=generator)
    return logits, Target(values, torch.ones(2, len(labels.classes), dtype=torch.bool))
