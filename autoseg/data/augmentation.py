"""Which changes of intensity a patch suffers: the peer's transforms, in the peer's order, with its probabilities.

Every random number comes from the sample's own generator, so that a patch is the same in every process. Why the
arithmetic is ours: documentation/decisions/0005-augmentation.md.
"""

from __future__ import annotations

import numpy as np

from autoseg.data import intensity

NOISE_PROBABILITY, NOISE_STD = 0.1, (0.0, 0.1)
BLUR_PROBABILITY, BLUR_SIGMAS = 0.2, (0.5, 1.0)
BRIGHTNESS_PROBABILITY, BRIGHTNESS = 0.15, (0.75, 1.25)
CONTRAST_PROBABILITY, CONTRAST = 0.15, (0.75, 1.25)
LOW_RESOLUTION_PROBABILITY, LOW_RESOLUTION = 0.25, (0.5, 1.0)
INVERTED_GAMMA_PROBABILITY, GAMMA_PROBABILITY, GAMMA = 0.1, 0.3, (0.7, 1.5)
CHANNEL_PROBABILITY = 0.5


class IntensityChanges:
    """Random noise, blur, brightness, contrast, resolution and gamma.

    strength: scales every probability; 0 changes nothing, 1 is the peer's. in_plane: whether the resolution is only
    lowered along axes 1 and 2.
    """

    def __init__(self, strength: float, *, in_plane: bool) -> None:
        self.strength, self.in_plane = strength, in_plane

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Change an image (C, Z, Y, X) float32 in place and return it."""
        if self._happens(rng, NOISE_PROBABILITY):
            image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(*NOISE_STD))
        self._blur(image, rng)
        if self._happens(rng, BRIGHTNESS_PROBABILITY):
            image *= np.array([_around_one(rng, BRIGHTNESS) for _ in image], np.float32)[:, None, None, None]
        if self._happens(rng, CONTRAST_PROBABILITY):
            for channel in image:
                channel[...] = intensity.contrast(channel, _around_one(rng, CONTRAST))
        self._lower_resolution(image, rng)
        for probability, inverted in ((INVERTED_GAMMA_PROBABILITY, True), (GAMMA_PROBABILITY, False)):
            if self._happens(rng, probability):
                for channel in image:
                    channel[...] = intensity.gamma(channel, _around_one(rng, GAMMA), inverted=inverted)
        return image

    def _happens(self, rng: np.random.Generator, probability: float) -> bool:
        return bool(rng.random() < probability * self.strength)

    def _blur(self, image: np.ndarray, rng: np.random.Generator) -> None:
        if not self._happens(rng, BLUR_PROBABILITY):
            return
        for channel in image:
            if rng.random() < CHANNEL_PROBABILITY:
                channel[...] = intensity.blur(channel, rng.uniform(*BLUR_SIGMAS, 3).tolist())

    def _lower_resolution(self, image: np.ndarray, rng: np.random.Generator) -> None:
        if not self._happens(rng, LOW_RESOLUTION_PROBABILITY):
            return
        for channel in image:
            if rng.random() < CHANNEL_PROBABILITY:
                scale = rng.uniform(*LOW_RESOLUTION)
                shape = [max(1, round(edge * scale)) for edge in channel.shape]
                shape[0] = channel.shape[0] if self.in_plane else shape[0]
                channel[...] = intensity.low_resolution(channel, shape)


def _around_one(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """A factor that is below one as often as above it, uniform on either side."""
    low, high = bounds
    return float(rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high))
