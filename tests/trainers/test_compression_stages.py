"""Channel pruning of every stage of a cascade, and of the locator alone in two stages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.compression.coupling import channel_groups
from autoseg.dataset import read_dataset
from autoseg.files import checksum
from autoseg.geometry import Box
from autoseg.inference.chain import Chain, previous_labels_on_grid
from autoseg.inference.model import load_networks
from autoseg.inference.model_files import read_model_files
from autoseg.inference.options import PredictionOptions
from autoseg.io import Volume, read_image
from autoseg.networks.storage import read_spec
from autoseg.plans import StagePlan, read_plans
from tests.commands import NAME, KnowingLocator, command, drawn_labels, small_workspace, watched_unlabelled

SHORT = ["--folds", 0, "--epochs", 1, "--iterations-per-epoch", 1, "--threads", 1, "--precision", "fp32"]
PRUNE = [*SHORT, "--trainer", "channel_pruning", "--granularity", 1, "--prune", "50,50,50"]


@pytest.fixture(autouse=True)
def _no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    from autoseg.compression.latency import Latency

    def latency(stage: object, networks: list, *, device: str) -> Latency:
        return Latency(tuple(1.0 for _ in networks), "none")

    monkeypatch.setattr("trainers.measures.measured_latency", latency)
    monkeypatch.setattr("trainers.channel_pruning.TAYLOR_BATCHES", 2)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace planned for a cascade and for two stages."""
    forced = ["--cascade", "always", "--two-stage", "always", "-c", "3d_lowres"]
    return small_workspace(tmp_path_factory.mktemp("workspace"), *forced)


def specs(model: Path, stage: str) -> list[tuple[int, ...]]:
    return [
        tuple(width for level in read_spec(path).levels for width in level.encoder_widths)
        for path in sorted((model / "stages" / stage).glob("*/model.safetensors"))
    ]


def predicts(root: Path, configuration: str) -> bool:
    images, out = root / "raw" / NAME / "imagesTs", root / f"out_{configuration}"
    words = [
        "-d",
        1,
        "-c",
        configuration,
        "--trainer",
        "channel_pruning",
        "-i",
        images,
        "-o",
        out,
        "--backend",
        "torch",
    ]
    return command("predict", *words, root=root) == 0 and bool(list(out.glob("*.nii.gz")))


def test_both_stages_of_a_cascade(root: Path) -> None:
    assert command("train", 1, "3d_cascade", *SHORT, root=root) == 0
    images = root / "raw" / NAME / "imagesTs"
    with watched_unlabelled() as asked:
        assert command("train", 1, "3d_cascade", *PRUNE, "--unlabelled", images, root=root) == 0
    results = root / "results" / NAME
    check_seen_as_labelled_cases_are(asked, results / "cascade__plans__3d_cascade", images)
    full, pruned = results / "cascade__plans__3d_cascade", results / "channel_pruning__plans__3d_cascade"
    before, after = specs(full, "3d_lowres"), specs(pruned, "3d_lowres")
    assert len(before) == len(after) == 3
    assert set(after) == {tuple(width // 2 for width in before[0])}
    last = read_spec(pruned / "fold_0" / "model.safetensors")
    full_last = read_spec(full / "fold_0" / "model.safetensors")
    assert last.in_channels == full_last.in_channels > 1
    assert last.levels[0].encoder_widths[0] == full_last.levels[0].encoder_widths[0] // 2
    assert {stage.network for stage in read_plans(pruned / "plans.json").stages.values()} >= {last}
    report = json.loads((pruned / "compression.json").read_text())
    assert set(report["steps"][1]["networks"]) == {"3d_lowres", "3d_cascade_fullres"}
    assert predicts(root, "3d_cascade")


def check_seen_as_labelled_cases_are(asked: dict[str, Any], full: Path, images: Path) -> None:
    """The second stage sees unlabelled images with the labels that the full model's first one gives them."""
    files = read_model_files(full)
    first, second = files.stages
    assert list(asked) == [first.name, second.name]
    assert asked[second.name].batch(0).image.shape[1] == second.network.in_channels
    (path,) = images.glob("*.nii.gz")
    chain = Chain(
        load_networks(files, PredictionOptions(backend="torch")).chain.predictors[:1], files.plans, files.labels
    )
    volume = read_image([path])
    predicted = chain.run(chain.prepare(volume)).labels
    assert predicted is not None
    source = asked[second.name]
    (case_id,) = source.sampler.case_ids
    on_grid = previous_labels_on_grid(Volume(predicted, volume.geometry), source.store.record(case_id))
    np.testing.assert_array_equal(source.previous.read(case_id), on_grid)


def test_a_global_ranking_by_what_the_second_stage_saw(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taylor = ["--prune-allocation", "global", "--prune-criterion", "taylor", "--restart"]
    words = ["train", 1, "3d_cascade", *PRUNE, *taylor, "--compress-stages", "3d_cascade_fullres"]
    assert command(*words, root=root) == 0
    results = root / "results" / NAME
    full, pruned = results / "cascade__plans__3d_cascade", results / "channel_pruning__plans__3d_cascade"
    before, after = (channel_groups(read_spec(model / "fold_0" / "model.safetensors")) for model in (full, pruned))
    assert sum(after.widths.values()) == pytest.approx(sum(before.widths.values()) / 2, rel=0.05)
    shares = {after.widths[name] / width for name, width in before.widths.items()}
    assert max(shares) > 0.7 > 0.3 > min(shares)
    kept = full / "stages" / "3d_lowres" / "unseen_on_3d_fullres"
    kept.rename(kept.with_name("elsewhere"))
    assert command(*words, root=root) == 2
    assert "Compress the model where it was trained" in capsys.readouterr().err
    kept.with_name("elsewhere").rename(kept)


def test_one_fold_of_a_cross_validated_cascade(root: Path) -> None:
    shared = ["--trainer", "quantization", "--folds", 2]
    assert command("train", 1, "3d_cascade", *SHORT, "--folds", 0, 1, 2, 3, 4, root=root) == 0
    assert command("train", 1, "3d_cascade", *SHORT, *shared, root=root) == 0
    model = root / "results" / NAME / "quantization__plans__3d_cascade"
    earlier = (model / "stages" / "3d_lowres").glob("*/model.safetensors")
    assert sorted(path.parent.name for path in earlier) == [f"fold_{number}" for number in range(5)]
    assert [path.parent.name for path in model.glob("fold_*/model.safetensors")] == ["fold_2"]


def test_the_locator_of_two_stages_alone(root: Path) -> None:
    assert command("train", 1, "3d_two_stage", *SHORT, root=root) == 0
    assert command("train", 1, "3d_two_stage", *PRUNE, "--compress-stages", "locate", root=root) == 0
    results = root / "results" / NAME
    full, pruned = results / "two_stage__plans__3d_two_stage", results / "channel_pruning__plans__3d_two_stage"
    before, after = specs(full, "locate"), specs(pruned, "locate")
    assert set(after) == {tuple(width // 2 for width in before[0])}
    organs = sorted(path.parent.parent.name for path in (full / "stages").glob("organ_*/fold_0/model.safetensors"))
    for organ in organs:
        files = [model / "stages" / organ / "fold_0" / "model.safetensors" for model in (full, pruned)]
        assert checksum(files[0]) == checksum(files[1])
    assert len(organs) > 1
    assert not list(pruned.glob("steps/*/stages/*/regions"))
    assert predicts(root, "3d_two_stage")


def check_regions_are_where_organs_are(
    asked: dict[str, Any], organs: Sequence[StagePlan], missed: str, root: Path
) -> None:
    """Every organ's network sees unlabelled regions around the organ; none of an organ that was not located."""
    labels = read_dataset(root / "raw" / NAME).labels
    for stage in organs:
        found = [organ for organ in stage.region.organs if organ != missed]
        source = asked[stage.name]
        if not found:
            assert source is None
            continue
        assert len(source.sampler.patches.case_ids) == len(found)
        assert source.batch(0).image.shape[2:] == stage.patch_size
        for case_id in source.sampler.patches.case_ids:
            name, _, number = case_id.partition("__organ")
            box = Box.around(labels.mask(drawn_labels(root, name).array, labels.names[int(number) - 1]))
            record, region = source.store.record(case_id), source.sampler.regions[case_id]
            assert region.true is None
            middle = record.geometry.voxel_to_world(np.subtract(record.geometry.shape, 1) / 2)
            off = middle - drawn_labels(root, name).geometry.voxel_to_world(np.add(box.start, box.stop) / 2 - 0.5)
            assert np.abs(off).max() <= max(record.spacing_mm) * max(stage.patch_size)


def test_every_organ_of_two_stages(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = root / "results" / NAME
    plans = read_plans(results / "two_stage__plans__3d_two_stage" / "plans.json")
    organs = [stage for stage in plans.stages.values() if stage.region]
    missed = organs[0].region.organs[0]
    images = root / "raw" / NAME / "imagesTs"
    more = ["--prune-allocation", "global", "--prune-criterion", "taylor", "--restart", "--unlabelled", images]
    monkeypatch.setattr("trainers.unlabelled.load_earlier_stages", KnowingLocator(root, missed))
    with watched_unlabelled() as asked:
        assert command("train", 1, "3d_two_stage", *PRUNE, *more, root=root) == 0
    check_regions_are_where_organs_are(asked, organs, missed, root)
    full, pruned = results / "two_stage__plans__3d_two_stage", results / "channel_pruning__plans__3d_two_stage"
    for stage in read_plans(pruned / "plans.json").stages:
        assert sum(specs(pruned, stage)[0]) < sum(specs(full, stage)[0])
