"""The network that organs share, made smaller in every way, on a small phantom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from autoseg.compression.weights import convolution_weights, sparsity
from autoseg.dataset import read_dataset
from autoseg.files import checksum
from autoseg.inference.calibration import find_int8
from autoseg.inference.manifest import MANIFEST
from autoseg.networks.shared import SharedNetwork
from autoseg.networks.storage import describe_stored, load_network, load_whole_network, read_spec
from autoseg.plans import read_plans
from tests.commands import NAME, KnowingLocator, command, no_measuring, small_workspace, watched_unlabelled

TRAIN = ["train", 1, "3d_two_stage", "--folds", 0, "--epochs", 1, "--iterations-per-epoch", 2, "--threads", 1]
TRAIN += ["--precision", "fp32"]
ORGANS = Path("stages") / "organs" / "fold_0" / "model.safetensors"
PRUNE = ["--granularity", 1, "--prune", "50,50,50"]


@pytest.fixture(autouse=True, scope="module")
def _no_measuring() -> Iterator[None]:
    with no_measuring(patches=2):
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a trained model of a locator and one network for all organs."""
    shared = ["--two-stage", "always", "--organ-models", "shared", "-c", "3d_two_stage"]
    root = small_workspace(tmp_path_factory.mktemp("workspace"), *shared)
    assert command(*TRAIN, root=root) == 0
    return root


@pytest.fixture(scope="module")
def full(root: Path) -> Path:
    return root / "results" / NAME / "two_stage__plans__3d_two_stage"


def compress(root: Path, trainer: str, *more: object) -> Path:
    assert command(*TRAIN, "--trainer", trainer, *more, root=root) == 0
    return root / "results" / NAME / f"{trainer}__plans__3d_two_stage"


def predicts(root: Path, model: Path, *more: object) -> list[dict]:
    """Predict the test case; gives the engines of the stages."""
    out = root / f"out_{model.name}"
    words = ["predict", "--model", model, "-i", root / "raw" / NAME / "imagesTs", "-o", out, *more]
    assert command(*words, root=root) == 0
    assert len(list(out.glob("*.nii.gz"))) == 1
    ((*engines,),) = json.loads((out / MANIFEST).read_text())["engines"]
    return engines


@pytest.mark.parametrize("criterion", ["magnitude", "taylor"])
def test_its_channels_are_cut_for_all_organs_alike(
    root: Path, full: Path, criterion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ["--prune-criterion", criterion, "--distil-features", 0.1, "--restart"]
    more += ["--unlabelled", root / "raw" / NAME / "imagesTs"]
    names = read_dataset(root / "raw" / NAME).labels.names
    monkeypatch.setattr("trainers.unlabelled.load_earlier_stages", KnowingLocator(root, names[0]))
    with watched_unlabelled() as asked:
        pruned = compress(root, "channel_pruning", *PRUNE, "--compress-stages", "organs", *more)
    ((_, source),) = asked.items()
    assert {region.organ for region in source.sampler.regions.values()} < set(range(len(names)))
    assert len(source.sampler.regions) == len(names) - 1
    before, after = read_spec(full / ORGANS), read_spec(pruned / ORGANS)
    assert after.levels[0].encoder_widths[0] == before.levels[0].encoder_widths[0] // 2
    stages = read_plans(pruned / "plans.json").stages
    organs = [stage for stage in stages.values() if stage.region]
    assert {stage.network for stage in organs} == {after}
    assert isinstance(load_whole_network(pruned / ORGANS), SharedNetwork)
    locator = Path("stages") / "locate" / "fold_0" / "model.safetensors"
    assert checksum(pruned / locator) == checksum(full / locator)
    (report,) = json.loads((pruned / "compression.json").read_text())["steps"][1]["networks"].items()
    parameters = sum(value.numel() for value in load_whole_network(pruned / ORGANS).parameters())
    assert (report[0], report[1]["parameters"]) == ("organs", parameters)
    assert report[1]["bytes"] == (pruned / ORGANS).stat().st_size
    predicts(root, pruned, "--backend", "torch")


def test_its_file_is_as_small_as_it_was_to_be(root: Path, full: Path) -> None:
    stored = describe_stored(full / ORGANS)
    most = round(stored.header_bytes + 0.6 * (stored.file_bytes - stored.header_bytes))
    words = ["--granularity", 1, "--prune", "50,50,50", "--target-size", f"{most / 1024}K", "--restart"]
    pruned = compress(root, "channel_pruning", "--compress-stages", "organs", *words)
    assert 0.5 * most < (pruned / ORGANS).stat().st_size <= most


def test_one_of_the_organs_stands_for_all(root: Path, full: Path) -> None:
    organ = next(name for name, stage in read_plans(full / "plans.json").stages.items() if stage.region)
    pruned = compress(root, "channel_pruning", *PRUNE, "--compress-stages", organ, "--restart")
    assert set(json.loads((pruned / "course.json").read_text())["stages"]) == {
        stage.name for stage in read_plans(full / "plans.json").stages.values() if stage.region
    }


def test_its_small_weights_become_zero(root: Path, full: Path) -> None:
    model = compress(root, "threshold_pruning", "--threshold", "0.8,1,0.8", "--compress-stages", "organs")
    network, before = (load_whole_network(folder / ORGANS) for folder in (model, full))
    assert isinstance(network, SharedNetwork)
    assert sparsity(before) < 0.01
    assert 0.3 < sparsity(network) < 0.9
    assert (model / ORGANS).stat().st_size == describe_stored(model / ORGANS).file_bytes
    predicts(root, model, "--backend", "torch")


def test_its_weights_come_to_levels(root: Path) -> None:
    model = compress(root, "quantization", "--levels", 3, "--level-range", 0.3, "--compress-stages", "organs")
    network = load_whole_network(model / ORGANS)
    assert isinstance(network, SharedNetwork)
    values = torch.cat([weight.detach().flatten() for weight in convolution_weights(network).values()]).unique()
    torch.testing.assert_close(values, torch.tensor([-0.3, 0.0, 0.3]))
    assert any(one.layout is not None and one.layout.levels == 3 for one in describe_stored(model / ORGANS).tensors)
    predicts(root, model, "--backend", "torch")


def test_all_methods_in_turn(root: Path, full: Path) -> None:
    methods = ["--methods", "channel_pruning", "threshold_pruning", "quantization", "int8", "--int8-tolerance", 1]
    methods += ["--quantization-aware"]
    more = ["--threshold", "0.5,1,0.5", "--validate-whole", 1]
    model = compress(root, "compress", *PRUNE, *methods, *more)
    whole = load_whole_network(model / ORGANS)
    assert isinstance(whole, SharedNetwork)
    assert sparsity(whole) > 0.25
    stored = describe_stored(model / ORGANS)
    assert any(one.layout is not None and one.layout.levels == 31 for one in stored.tensors)
    plain = sum(one.bytes for one in describe_stored(full / ORGANS).tensors)
    assert sum(one.bytes for one in stored.tensors) < plain / 2
    organs = [stage for stage in read_plans(model / "plans.json").stages.values() if stage.region]
    forms = [find_int8([model / ORGANS], organ=stage.name) for stage in organs]
    assert all(len(form) == 1 for form in forms)
    opened = [Path(form[0].file).with_suffix(ending) for form in forms for ending in (".xml", ".bin")]
    told = json.loads((model / "compression.json").read_text())["steps"][-1]["networks"]["organs"]
    assert told["bytes"] == sum(path.stat().st_size for path in [model / ORGANS, *opened])
    assert len({checksum(Path(form[0].file)) for form in forms} | {form[0].answer for form in forms}) > len(organs)
    assert load_network(model / ORGANS, organ=organs[0].name).spec == organs[0].network
    engines = predicts(root, model, "--precision", "int8")
    assert {engine["precision"] for engine in engines} == {"int8"}
