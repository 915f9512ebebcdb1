"""Changes of an image's intensities, each a pure function of its parameters: the peer's set at the peer's strength.

All take and return one channel, (Z, Y, X) float32, and leave their argument as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

SMALLEST = 1e-7


def blur(channel: np.ndarray, sigmas: Sequence[float]) -> np.ndarray:
    """A Gaussian blur; sigmas: in voxels, one per axis. Axes of one voxel are left out."""
    from scipy.ndimage import gaussian_filter1d

    for axis, sigma in enumerate(sigmas):
        if channel.shape[axis] > 1:
            channel = gaussian_filter1d(channel, sigma, axis=axis)
    return channel


def contrast(channel: np.ndarray, factor: float) -> np.ndarray:
    """Stretch about the mean by a factor, within the range that the channel had."""
    mean = channel.mean()
    return np.clip((channel - mean) * np.float32(factor) + mean, channel.min(), channel.max())


def gamma(channel: np.ndarray, exponent: float, *, inverted: bool) -> np.ndarray:
    """Raise to a power within the channel's range, and give it back its mean and standard deviation.

    inverted: bend the bright end instead of the dark one. A constant channel is returned as it is.
    """
    lowest, highest = float(channel.min()), float(channel.max())
    span = highest - lowest
    if span < SMALLEST:
        return channel
    unit = (highest - channel) / np.float32(span) if inverted else (channel - lowest) / np.float32(span)
    bent = torch.from_numpy(unit).pow_(exponent).numpy()
    bent -= bent.mean()
    bent *= np.float32((-1 if inverted else 1) * channel.std() / max(float(bent.std()), SMALLEST))
    bent += channel.mean()
    return bent


def low_resolution(channel: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Sample down to a shape by nearest neighbour and back linearly, as if it had been imaged more coarsely."""
    whole = torch.from_numpy(channel)[None, None]
    small = torch.nn.functional.interpolate(whole, tuple(shape), mode="nearest-exact")
    return torch.nn.functional.interpolate(small, channel.shape, mode="trilinear")[0, 0].numpy()
