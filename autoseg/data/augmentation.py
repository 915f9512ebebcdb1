"""Which changes of intensity a patch suffers: the peer's transforms, in the peer's order, with its probabilities.

The arithmetic is batchgenerators', except for the resolution; documentation/decisions/0005-augmentation.md tells why.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from batchgenerators.augmentations.color_augmentations import (
    augment_brightness_multiplicative,
    augment_contrast,
    augment_gamma,
)
from batchgenerators.augmentations.noise_augmentations import augment_gaussian_blur, augment_gaussian_noise

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]

LOWEST_RESOLUTION = 0.5
LOWERED_CHANNELS = 0.5

_global_state = threading.Lock()


class IntensityChanges:
    """Random noise, blur, brightness, contrast, resolution and gamma.

    strength: scales every probability; 0 changes nothing, 1 is the peer's. in_plane: whether the resolution is only
    lowered along axes 1 and 2.
    """

    def __init__(self, strength: float, *, in_plane: bool) -> None:
        gamma = {"gamma_range": (0.7, 1.5), "per_channel": True, "retain_stats": True}
        blur = {"sigma_range": (0.5, 1.0), "p_per_channel": 0.5, "different_sigma_per_axis": True}
        self.strength = strength
        self.changes: tuple[tuple[float, Change], ...] = (
            (0.1, _library(augment_gaussian_noise, noise_variance=(0, 0.1))),
            (0.2, _library(augment_gaussian_blur, **blur)),
            (0.15, _library(augment_brightness_multiplicative, multiplier_range=(0.75, 1.25))),
            (0.15, _library(augment_contrast, contrast_range=(0.75, 1.25))),
            (0.25, partial(lower_resolution, in_plane=in_plane)),
            (0.1, _library(augment_gamma, invert_image=True, **gamma)),
            (0.3, _library(augment_gamma, **gamma)),
        )

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Change an image (C, Z, Y, X) float32; it may be changed in place."""
        for probability, change in self.changes:
            if rng.random() < probability * self.strength:
                image = change(image, rng)
        return image


def _library(function: Callable[..., np.ndarray], **settings: Any) -> Change:
    return partial(_apply_library, function, settings)


def _apply_library(
    function: Callable[..., np.ndarray], settings: dict[str, Any], image: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    with seeded_globals(int(rng.integers(2**32))):
        return function(image, **settings)


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """Seed the process's global random numbers, which batchgenerators draws from, and put them back afterwards.

    One thread at a time, so that the result depends on the seed alone as long as the other threads leave those
    generators alone; autoseg does.
    """
    with _global_state:
        before, numpy_before = random.getstate(), np.random.get_state()
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(before)
            np.random.set_state(numpy_before)


def lower_resolution(image: np.ndarray, rng: np.random.Generator, *, in_plane: bool) -> np.ndarray:
    """Make some channels of (C, Z, Y, X) look as if imaged more coarsely, by a factor down to one half; in place.

    Nearest neighbour down and linear up. in_plane: leave axis 0 as it is.
    """
    for channel in image:
        if rng.random() < LOWERED_CHANNELS:
            scale = rng.uniform(LOWEST_RESOLUTION, 1)
            shape = [max(1, round(edge * scale)) for edge in channel.shape]
            shape[0] = channel.shape[0] if in_plane else shape[0]
            small = torch.nn.functional.interpolate(torch.from_numpy(channel)[None, None], shape, mode="nearest-exact")
            channel[...] = torch.nn.functional.interpolate(small, channel.shape, mode="trilinear")[0, 0].numpy()
    return image
