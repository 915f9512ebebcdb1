"""The engine that stands for nnU-Net's way: what torch's own gives, without its order of memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.inference.backends import EngineOptions, find_backend
from autoseg.inference.backends.probe import relative_error, seasoned_network
from autoseg.plans import LevelSpec, NetworkSpec

SPEC = NetworkSpec("unet", 2, 1, 3, (LevelSpec((1, 1), (3, 3), (8,), (), 8, (8,)), LevelSpec((2, 2), (3, 3), (8,))))


def test_it_gives_the_logits_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("sides")))
    batch, options = (
        np.random.default_rng(0).normal(size=(2, 1, 8, 12)).astype(np.float32),
        EngineOptions((8, 12), "fp32", 1),
    )
    network, orders = seasoned_network(SPEC), []
    hook = lambda module, given, made: orders.append(made.is_contiguous())  # noqa: E731
    network.get_submodule("encoder.0").register_forward_hook(hook)
    found = find_backend("usual_torch:UsualTorch").compile(network, options)(batch)
    expected = find_backend("torch").compile(seasoned_network(SPEC), options)(batch)
    assert orders == [True]
    assert relative_error(found, expected) < 1e-5
    with torch.inference_mode():
        np.testing.assert_array_equal(found, network(torch.from_numpy(batch)).numpy())
