"""Flips, folds and the labels of an earlier stage, with networks that are known functions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autoseg.dataset import Labels
from autoseg.errors import OptionError
from autoseg.inference import batches
from autoseg.inference import predictor as predictor_module
from autoseg.inference.backends import Engine, EngineOptions, choice
from autoseg.inference.backends.choice import Choice, Task
from autoseg.inference.backends.probe import answer
from autoseg.inference.options import PredictionOptions
from autoseg.inference.predictor import StagePredictor, flip_axes
from autoseg.networks import build_network
from autoseg.plans import Plans

LABELS = Labels({"organ_left": (1,), "organ_right": (2,), "lesion": (3,)})
FP32 = PredictionOptions(precision="fp32", device="cpu", backend="torch")


class Known(nn.Module):
    """Logits as a function of the patch."""

    spec = None

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, batch: Tensor) -> Tensor:
        return self.function(batch)


def sides(batch: Tensor) -> Tensor:
    """What is in the first half along x is left, in the second right: it knows the body, not its mirror image."""
    x = torch.linspace(-1, 1, batch.shape[-1]).expand_as(batch[:, :1])
    bright = batch[:, :1]
    return torch.cat([1 - bright, bright * -x, bright * x, bright * 0], dim=1)


@pytest.fixture(scope="module")
def plans(write_model, tmp_path_factory: pytest.TempPathFactory) -> Plans:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).random((1, 16, 12, 12), dtype=np.float32)


def logits_of(plans: Plans, network: nn.Module, image: np.ndarray, flips: object = "all") -> np.ndarray:
    options = replace(FP32, flips=flips)
    return StagePredictor([network], plans, plans.stages["3d_fullres"], LABELS, options).logits(image)


@pytest.mark.parametrize("flips", ["all", 1, 3, (0, 2)])
def test_flips_do_not_change_what_knows_left_from_right(plans: Plans, image: np.ndarray, flips: object) -> None:
    expected = logits_of(plans, Known(sides), image, "none")
    np.testing.assert_allclose(logits_of(plans, Known(sides), image, flips), expected, atol=1e-6)


def test_without_pairs_the_flip_does_not_exchange_channels(plans: Plans, image: np.ndarray) -> None:
    unpaired = replace(plans, left_right_pairs=(), left_right_axis=None)
    logits = logits_of(unpaired, Known(sides), image, (2,))
    np.testing.assert_allclose(logits[1], 0, atol=1e-6)


def test_flips_are_averaged(plans: Plans) -> None:
    ramp = Known(lambda batch: torch.arange(16.0)[None, None, :, None, None].expand(1, 4, 16, 12, 12))
    logits = logits_of(plans, ramp, np.zeros((1, 16, 12, 12), np.float32), (0,))
    np.testing.assert_allclose(logits, 7.5)


def test_folds_are_averaged(plans: Plans, image: np.ndarray) -> None:
    networks = [Known(sides), Known(lambda batch: 3 * sides(batch))]
    predictor = StagePredictor(networks, plans, plans.stages["3d_fullres"], LABELS, replace(FP32, flips="none"))
    expected = logits_of(plans, Known(sides), image, "none")
    np.testing.assert_allclose(predictor.logits(image), 2 * expected, atol=1e-6)


def test_previous_labels_arrive_as_one_channel_per_class(plans: Plans) -> None:
    previous = np.random.default_rng(1).integers(0, 4, (16, 12, 12)).astype(np.int16)
    stage = plans.stages["3d_cascade_fullres"]
    network = Known(
        lambda batch: torch.cat([batch[:, :1], batch[:, 1:] * torch.tensor([1.0, 2, 3])[:, None, None, None]], 1)
    )
    predictor = StagePredictor([network], plans, stage, LABELS, replace(FP32, flips="all"))
    logits = predictor.logits(np.zeros((1, 16, 12, 12), np.float32), previous)
    np.testing.assert_allclose(
        logits[1:].max(0), previous.clip(0, 3) * np.where(previous < 3, 1.5 / previous.clip(1), 1)
    )


def test_a_flipped_previous_left_organ_is_the_right_one_to_the_network(plans: Plans) -> None:
    """A network that copies its previous channels gives them back as they were, whatever is flipped."""
    previous = np.zeros((16, 12, 12), np.int16)
    previous[4:8, 2:5, 1:4], previous[4:8, 2:5, 8:11], previous[12:, :3, :] = 1, 2, 3
    seen = []
    copy = Known(lambda batch: seen.append(batch.clone()) or batch)
    predictor = StagePredictor([copy], plans, plans.stages["3d_cascade_fullres"], LABELS, replace(FP32, flips=(2,)))
    logits = predictor.logits(np.zeros((1, 16, 12, 12), np.float32), previous)
    np.testing.assert_array_equal(logits[1:], np.stack([previous == value for value in (1, 2, 3)]))
    plain, flipped = seen
    assert plain[0, 1, 5, 3, 2] == 1
    assert flipped[0, 1, 5, 3, 2] == 1, "the right organ, mirrored, lies on the left and is called left"


def test_a_cascade_needs_previous_labels_and_others_take_none(plans: Plans, image: np.ndarray) -> None:
    predictor = StagePredictor([Known(sides)], plans, plans.stages["3d_cascade_fullres"], LABELS, FP32)
    with pytest.raises(OptionError, match="takes the labels of stage '3d_lowres'"):
        predictor.logits(image)
    predictor = StagePredictor([Known(sides)], plans, plans.stages["3d_fullres"], LABELS, FP32)
    with pytest.raises(OptionError, match="takes no labels"):
        predictor.logits(image, np.zeros((16, 12, 12), np.int16))


def test_slices_are_flipped_in_their_plane(plans: Plans) -> None:
    image = np.random.default_rng(0).random((1, 5, 12, 12), dtype=np.float32)
    shapes = set()
    network = Known(lambda batch: shapes.add(tuple(batch.shape[1:])) or sides(batch))
    stage = plans.stages["2d"]
    flipped = StagePredictor([network], plans, stage, LABELS, FP32).logits(image)
    plain = StagePredictor([network], plans, stage, LABELS, replace(FP32, flips="none")).logits(image)
    np.testing.assert_allclose(flipped, plain, atol=1e-6)
    assert shapes == {(1, 12, 12)}


def test_numbers_of_flips_are_complete_sets_of_axes() -> None:
    assert flip_axes((0, 1, 2), 1, is_2d=False) == ((), (2,))
    assert flip_axes((0, 1, 2), 3, is_2d=False) == ((), (2,), (1,), (2, 1))
    assert len(flip_axes((0, 1, 2), 7, is_2d=False)) == 8
    assert flip_axes((0, 1, 2), 0, is_2d=False) == flip_axes((0, 1, 2), "none", is_2d=False) == ((),)
    assert flip_axes((0, 1, 2), "all", is_2d=True) == ((), (2,), (1,), (2, 1))
    assert flip_axes((0, 1), "all", is_2d=False) == ((), (1,), (0,), (1, 0))


def test_forbidden_flips_are_refused() -> None:
    with pytest.raises(OptionError, match="without flips along axis 2"):
        flip_axes((0, 1), (2,), is_2d=False)
    with pytest.raises(OptionError, match="Flips must be"):
        PredictionOptions(flips="some")


def test_bf16_gives_float32_close_to_fp32(write_model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autoseg.networks.storage import load_network

    monkeypatch.setattr(choice, "ask", lambda request: answer(request).trials)  # here, for time's sake
    plans = write_model(tmp_path)
    network = load_network(tmp_path / "fold_0" / "model.safetensors")
    image = np.random.default_rng(0).normal(size=(1, 20, 14, 13)).astype(np.float32)
    found = {}
    for precision in ("fp32", "bf16"):
        options = PredictionOptions(precision=precision, device="cpu", flips="none")
        found[precision] = StagePredictor([network], plans, plans.stages["3d_fullres"], LABELS, options).logits(image)
    assert found["bf16"].dtype == np.float32
    assert 0 < np.abs(found["bf16"] - found["fp32"]).max() < 0.1 * np.abs(found["fp32"]).max()


class FakeBackend:
    """Remembers what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[EngineOptions] = []

    def compile(self, network: nn.Module, options: EngineOptions) -> Engine:
        self.asked.append(options)
        return network


@pytest.mark.parametrize(("volumes", "compiled"), [(1, False), (10**9, True)])
def test_a_gpu_compiles_for_much_work_and_takes_what_fits(
    plans: Plans, volumes: int, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = FakeBackend()
    monkeypatch.setattr(predictor_module, "find_backend", lambda name: backend)
    monkeypatch.setattr(predictor_module, "choose_device", lambda wanted: wanted)
    monkeypatch.setattr(batches, "free_memory_bytes", lambda device: 1 << 30)
    options = PredictionOptions(precision="bf16", device="cuda")
    made = StagePredictor([Known(sides)], plans, plans.stages["3d_fullres"], LABELS, options, volumes=volumes)
    assert [(one.device, one.precision, one.compiled) for one in backend.asked] == [("cuda", "bf16", compiled)]
    assert made.windows.batch_size > 2


@pytest.mark.parametrize(
    ("backend", "precision", "device", "message"),
    [
        ("openvino", "fp32", "cuda", "The backend openvino computes on the CPU only"),
        ("torch", "int8", "cuda", "Networks in int8 are computed on the CPU"),
        ("torch", "fp16", "cpu", "fp16 is computed on a GPU only"),
    ],
)
def test_an_engine_that_the_device_does_not_have_is_refused(
    plans: Plans, backend: str, precision: str, device: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor_module, "choose_device", lambda wanted: wanted)
    stage, options = plans.stages["3d_fullres"], PredictionOptions(device=device)
    with pytest.raises(OptionError, match=message):
        StagePredictor([Known(sides)], plans, stage, LABELS, options, choice=Choice(backend, precision, "earlier"))
    asked = replace(options, backend=backend, precision=precision)
    with pytest.raises(OptionError, match=message):
        StagePredictor([Known(sides)], plans, stage, LABELS, asked)


def test_engines_are_chosen_within_the_memory_that_is_given(plans: Plans, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[Task] = []

    def choose(task: Task, **asked: str) -> Choice:
        tasks.append(task)
        return Choice("torch", "fp32", "")

    monkeypatch.setattr(predictor_module, "choose", choose)
    stage, options = plans.stages["3d_fullres"], PredictionOptions(device="cpu", memory_bytes=1 << 30)
    StagePredictor([build_network(stage.network)], plans, stage, LABELS, options)
    assert [task.memory_bytes for task in tasks] == [1 << 30]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_gives_the_logits_of_the_cpu(plans: Plans, image: np.ndarray, precision: str, cuda: str) -> None:
    torch.manual_seed(0)
    network = build_network(plans.stages["3d_fullres"].network)
    expected = logits_of(plans, network, image)
    options = PredictionOptions(precision=precision, device=cuda)
    found = StagePredictor([network], plans, plans.stages["3d_fullres"], LABELS, options).logits(image)
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert error < (1e-2 if precision == "fp32" else 0.1)
