"""Specs of small networks."""

from __future__ import annotations

from autoseg.plans import Ints, LevelSpec, NetworkSpec


def small_spec(
    architecture: str = "unet",
    *,
    widths: Ints = (4, 8),
    stride: Ints = (2, 2),
    kernel: Ints = (3, 3),
) -> NetworkSpec:
    """One input channel, two logits, two convolutions or blocks per level; the bottleneck has kernel edges of 3."""
    last = len(widths) - 1
    levels = []
    for number, width in enumerate(widths):
        levels.append(
            LevelSpec(
                stride=stride if number else (1,) * len(stride),
                kernel=kernel if number < last else (3,) * len(kernel),
                encoder_widths=(width, width),
                inner_widths=() if architecture == "unet" else (width, width),
                upsampled_width=width if number < last else None,
                decoder_widths=(width, width) if number < last else (),
            )
        )
    return NetworkSpec(architecture, len(stride), 1, 2, tuple(levels))
