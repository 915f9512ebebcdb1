"""Starting from a trained network: what fits by name and shape is taken, the heads by the names of their classes."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import nn

from autoseg.dataset import Labels, read_labels_entry
from autoseg.errors import FileError
from autoseg.files import read_json
from autoseg.networks.storage import load_network

LOGGER = logging.getLogger(__name__)


def load_pretrained(network: nn.Module, source: Path, labels: Labels, *, organ: str | None = None) -> None:
    """Copy weights of a finished model into a network, in place, and report what was left at random.

    source: a model folder (its first fold is taken), a fold's folder or a model.safetensors. Channels of the heads are
    matched by the class names in the dataset.json of the source; other tensors by name and shape. organ: the stage
    whose part is taken of a network that organs share.
    """
    path = _model_file(source)
    earlier = load_network(path, organ=organ)
    channels = _matching_channels(_labels_of(path), labels)
    own, taken = network.state_dict(), 0
    left = []
    for name, tensor in earlier.state_dict().items():
        if name.startswith("decoder.heads."):
            _copy_channels(own, name, tensor, channels)
        elif name in own and own[name].shape == tensor.shape:
            own[name] = tensor
            taken += 1
        else:
            left.append(name)
    if not taken:
        raise FileError(
            path, "has no tensor in common with the network to be trained.", "Plan the same widths and depth."
        )
    network.load_state_dict(own)
    LOGGER.info("pretrained %s: %d tensors taken, classes %s", path, taken, ", ".join(sorted(_shared(path, labels))))
    missing = sorted(name for name in own if name not in earlier.state_dict() and not name.startswith("decoder.heads."))
    for name in left + missing:
        LOGGER.info("pretrained: %s does not fit and starts at random", name)


def _model_file(source: Path) -> Path:
    candidates = (
        [source]
        if source.is_file()
        else [source / "model.safetensors", *sorted(source.glob("fold_*/model.safetensors"))]
    )
    for path in candidates:
        if path.is_file():
            return path
    raise FileError(source, "holds no model.safetensors.", "Give a model folder, a fold's folder or the file itself.")


def _labels_of(model_file: Path) -> Labels:
    """The labels of the dataset.json nearest above a model file."""
    for folder in list(model_file.parents)[:4]:
        path = folder / "dataset.json"
        if path.is_file():
            return read_labels_entry(read_json(path), path)
    raise FileError(
        model_file, "has no dataset.json above it, which names its classes.", "Copy the whole model folder."
    )


def _shared(model_file: Path, labels: Labels) -> set[str]:
    return set(_labels_of(model_file).names) & set(labels.names)


def _matching_channels(earlier: Labels, wanted: Labels) -> list[tuple[int, int]]:
    """Pairs (channel before, channel now) of the background and of classes with one name."""
    offsets = (0 if earlier.has_regions else 1), (0 if wanted.has_regions else 1)
    pairs = [(0, 0)] if all(offsets) else []
    for now, name in enumerate(wanted.names):
        if name in earlier.names:
            pairs.append((earlier.names.index(name) + offsets[0], now + offsets[1]))
    return pairs


def _copy_channels(
    own: dict[str, torch.Tensor], name: str, tensor: torch.Tensor, channels: list[tuple[int, int]]
) -> None:
    if name not in own or own[name].shape[1:] != tensor.shape[1:]:
        return
    target = own[name].clone()
    for before, now in channels:
        target[now] = tensor[before]
    own[name] = target
