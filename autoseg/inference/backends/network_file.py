"""A network on disk, read when an engine needs it: one that computes another form of it never loads torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.networks.stored_file import read_spec
from autoseg.plans import NetworkSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class NetworkFile:
    """A stored network. organ: which of them, where organs share it."""

    path: Path
    organ: str | None = None

    @cached_property
    def spec(self) -> NetworkSpec:
        """Of the network; errors as in load_network."""
        return read_spec(self.path)

    def load(self, device: str = "cpu") -> nn.Module:
        """The network itself; errors as in load_network."""
        from autoseg.networks.storage import load_network

        return load_network(self.path, device, organ=self.organ)


def loaded(network: nn.Module | NetworkFile, device: str = "cpu") -> nn.Module:
    """A network in memory, on a device."""
    return network.load(device) if isinstance(network, NetworkFile) else network.to(device)
