"""Starting from a trained network: heads by class name, the rest by name and shape."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autoseg.dataset import Labels
from autoseg.errors import FileError
from autoseg.files import write_json
from autoseg.networks import build_network
from autoseg.networks.storage import save_network
from autoseg.plans import LevelSpec, NetworkSpec
from trainers.pretrained import load_pretrained

ONES, TWOS, THREES = (1, 1, 1), (2, 2, 2), (3, 3, 3)


def spec(in_channels: int = 1, out_channels: int = 3, width: int = 8) -> NetworkSpec:
    levels = (
        LevelSpec(ONES, THREES, (width,), upsampled_width=width, decoder_widths=(width,)),
        LevelSpec(TWOS, THREES, (16,)),
    )
    return NetworkSpec("unet", 3, in_channels, out_channels, levels)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A finished fold of a model that knows liver and kidney."""
    torch.manual_seed(0)
    write_json(tmp_path / "dataset.json", {"labels": {"background": 0, "liver": 1, "kidney": 2}})
    save_network(tmp_path / "fold_0" / "model.safetensors", build_network(spec()))
    return tmp_path


def head(network: torch.nn.Module) -> torch.Tensor:
    return network.state_dict()["decoder.heads.0.weight"]


def test_heads_are_matched_by_class_name(model: Path) -> None:
    earlier = build_network(spec())
    load_pretrained(earlier, model, Labels({"liver": (1,), "kidney": (2,)}))
    network = build_network(spec(out_channels=4))
    before = head(network).clone()
    load_pretrained(network, model, Labels({"spleen": (1,), "kidney": (2,), "liver": (3,)}))
    torch.testing.assert_close(head(network)[[0, 3, 2]], head(earlier)[[0, 1, 2]])
    torch.testing.assert_close(head(network)[1], before[1])


def test_the_body_is_taken(model: Path) -> None:
    network = build_network(spec(out_channels=2))
    load_pretrained(network, model / "fold_0", Labels({"liver": (1,)}))
    again = build_network(spec(out_channels=2))
    load_pretrained(again, model / "fold_0" / "model.safetensors", Labels({"liver": (1,)}))
    bodies = [{k: v for k, v in n.state_dict().items() if "heads" not in k} for n in (network, again)]
    assert bodies[0].keys() == bodies[1].keys()
    assert all(torch.equal(bodies[0][key], bodies[1][key]) for key in bodies[0])


def test_what_does_not_fit_is_reported(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        load_pretrained(build_network(spec(in_channels=2)), model, Labels({"liver": (1,), "kidney": (2,)}))
    assert "encoder.0" in caplog.text
    assert "starts at random" in caplog.text
    assert "classes kidney, liver" in caplog.text


def test_nothing_in_common_is_an_error(model: Path) -> None:
    stranger = replace(spec(width=24), levels=(LevelSpec(ONES, THREES, (24,), (), None, ()),))
    with pytest.raises(FileError, match="no tensor in common"):
        load_pretrained(build_network(stranger), model, Labels({"liver": (1,), "kidney": (2,)}))


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"holds no model\.safetensors"):
        load_pretrained(build_network(spec()), tmp_path, Labels({"liver": (1,)}))
