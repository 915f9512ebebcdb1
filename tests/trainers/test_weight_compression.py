"""Threshold pruning, quantisation and int8 from the command line, on a small phantom."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.compression.weights import convolution_weights, sparsity
from autoseg.errors import OptionError
from autoseg.files import checksum, write_text
from autoseg.inference.calibration import find_int8, int8_files, read_int8_record
from autoseg.inference.manifest import MANIFEST
from autoseg.networks.storage import describe_stored, load_network, stored_grids
from tests.commands import NAME, TRAIN, command


def compress(trainer: str, *more: object, root: Path) -> Path:
    """The fold's folder of what a trainer makes."""
    assert command(*TRAIN, "--trainer", trainer, *more, root=root) == 0
    return root / "results" / NAME / f"{trainer}__plans__3d_fullres" / "fold_0"


@pytest.fixture(scope="module")
def full(root: Path) -> Path:
    return root / "results" / NAME / "standard__plans__3d_fullres" / "fold_0"


@pytest.fixture(scope="module")
def sparse(root: Path, full: Path) -> Path:
    return compress("threshold_pruning", "--threshold", "0.4,0.4,0.8", root=root)


@pytest.fixture(scope="module")
def quantised(root: Path, sparse: Path) -> Path:
    return compress("quantization", "--levels", 7, "--from", sparse.parent, root=root)


def report_of(fold: Path) -> dict:
    return json.loads((fold.parent / "compression.json").read_text())


def test_every_threshold_is_a_step(full: Path, sparse: Path) -> None:
    steps = report_of(sparse)["steps"]
    assert [step["name"] for step in steps] == ["full", "threshold_pruning_01", "threshold_pruning_02"]
    places = [full, *(sparse.parent / "steps" / step["name"] / "fold_0" for step in steps[1:])]
    networks = [load_network(place / "model.safetensors") for place in places]
    shares = [sparsity(network) for network in networks]
    assert shares[0] == 0
    assert shares[1] == pytest.approx(0.31, abs=0.08)
    assert shares[2] == pytest.approx(0.58, abs=0.08)
    zeros = [{name: weight == 0 for name, weight in convolution_weights(one).items()} for one in networks]
    assert all(zeros[2][name][mask].all() for name, mask in zeros[1].items()), "what was zero stays zero"
    sizes = [step["networks"]["3d_fullres"]["bytes"] for step in steps]
    assert sizes == [(place / "model.safetensors").stat().st_size for place in places]
    assert sizes[0] > sizes[1] > sizes[2]
    told = [step["networks"]["3d_fullres"] for step in steps]
    assert [(one["zeros"], one["levels"]) for one in told] == [(pytest.approx(share), None) for share in shares]


def test_levels_and_zeros_are_what_is_stored(sparse: Path, quantised: Path) -> None:
    network = load_network(quantised / "model.safetensors")
    before = load_network(sparse / "model.safetensors")
    zeros = {name: weight == 0 for name, weight in convolution_weights(before).items()}
    for name, weight in convolution_weights(network).items():
        assert not weight[zeros[name]].any()
        rows = np.moveaxis(weight.detach().numpy(), 1 if "upsample" in name else 0, 0)
        assert max(len(np.unique(row)) for row in rows) <= 7
    stored = describe_stored(quantised / "model.safetensors")
    size = (quantised / "model.safetensors").stat().st_size
    assert size == stored.header_bytes + sum(one.bytes for one in stored.tensors)
    told = report_of(quantised)["steps"][-1]["networks"]["3d_fullres"]
    assert (told["bytes"], told["levels"], told["zeros"]) == (size, 7, pytest.approx(sparsity(network)))
    assert size < (sparse / "model.safetensors").stat().st_size / 2
    assert any((a != b).any() for a, b in zip(network.parameters(), before.parameters(), strict=True))


def test_it_is_predicted_and_exported_like_any_other(root: Path, quantised: Path) -> None:
    images, out = root / "raw" / NAME / "imagesTs", root / "out"
    predict = ["predict", "-d", 1, "-c", "3d_fullres", "--trainer", "quantization", "-i", images, "-o", out]
    assert command(*predict, root=root) == 0
    assert list(out.glob("*.nii.gz"))
    assert command("export", quantised.parent, "--format", "onnx", "-o", root / "exported", root=root) == 0


def test_again_nothing_is_done(root: Path, quantised: Path, sparse: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = (quantised / "model.safetensors").stat().st_mtime_ns
    with caplog.at_level("INFO"):
        compress("quantization", "--levels", 7, "--from", sparse.parent, root=root)
    assert "step 1 of 1" not in caplog.text
    assert (quantised / "model.safetensors").stat().st_mtime_ns == before


def test_other_levels_are_another_step(root: Path, quantised: Path, sparse: Path) -> None:
    with_range = ["--levels", 7, "--level-range", 0.45, "--from", sparse.parent]
    assert command(*TRAIN, "--trainer", "quantization", *with_range, root=root) == 2, "made in another way"


def test_int8_is_measured_and_recorded(root: Path, full: Path) -> None:
    fold = compress("int8", "--int8-tolerance", 1, root=root)
    weights = fold / "model.safetensors"
    record = read_int8_record(weights)
    assert record is not None
    assert record.accepted
    assert record.weights == checksum(full / "model.safetensors")
    assert record.dice_before is not None
    assert record.dice_after is not None
    assert record.patches == 4
    opened = [weights, *int8_files(weights)]
    (measured,) = report_of(fold)["steps"][-1]["networks"].values()
    assert (measured["bytes"], measured["engine"]) == (sum(path.stat().st_size for path in opened), "openvino int8")
    summary = json.loads((fold / "summary.json").read_text())
    assert summary["mean_dice"] == pytest.approx(record.dice_after, abs=1e-6) if "mean_dice" in summary else True
    out = root / "out_int8"
    predict = ["predict", "-d", 1, "-c", "3d_fullres", "--trainer", "int8", "--precision", "int8"]
    assert command(*predict, "-i", root / "raw" / NAME / "imagesTs", "-o", out, root=root) == 0
    ((engine,),) = json.loads((out / MANIFEST).read_text())["engines"]
    assert (engine["backend"], engine["precision"]) == ("openvino", "int8")
    export = ["export", fold.parent, "--format", "openvino", "--precision", "int8", "-o", root / "exported_int8"]
    assert command(*export, root=root) == 0
    network = root / "exported_int8" / "networks" / "3d_fullres_fold_0.bin"
    assert checksum(network) == record.values


def test_one_volume_is_predicted_by_what_was_measured_with_int8(
    root: Path, full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.validating.EXPECTED_VOLUMES", 10**7)  # of a network so small
    compress("int8", "--int8-tolerance", 1, "--restart", root=root)
    out = root / "out_auto"
    predict = ["predict", "-d", 1, "-c", "3d_fullres", "--trainer", "int8", "--threads", 1]
    assert command(*predict, "-i", root / "raw" / NAME / "imagesTs", "-o", out, root=root) == 0
    ((engine,),) = json.loads((out / MANIFEST).read_text())["engines"]
    assert "times as fast as torch fp32" in engine["reason"]


AWARE = ["--quantization-aware", "--int8-tolerance", 1]


@pytest.mark.parametrize(("has_instructions", "levels"), [(False, {127, 255}), (True, {255})])
def test_int8_may_be_learnt(
    root: Path, full: Path, monkeypatch: pytest.MonkeyPatch, has_instructions: bool, levels: set[int]
) -> None:
    monkeypatch.setattr("autoseg.compression.int8.has_int8_instructions", lambda: has_instructions)
    fold = compress("int8", *AWARE, "--restart", root=root)
    weights = fold / "model.safetensors"
    record = read_int8_record(weights)
    assert record is not None
    assert record.weights == checksum(weights) != checksum(full / "model.safetensors")
    assert len(find_int8([weights])) == 1
    assert {grid.levels for grid in stored_grids(weights).values()} == levels
    assert weights.stat().st_size < 0.4 * (full / "model.safetensors").stat().st_size
    assert not list(fold.parent.rglob("quantization_aware.safetensors"))
    assert not list(fold.parent.rglob("checkpoint*"))


def test_a_run_killed_after_learning_int8_does_not_learn_it_again(
    root: Path, full: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("trainers.int8.calibrate", killed)
        assert command(*TRAIN, "--trainer", "int8", *AWARE, "--restart", root=root) != 0
    longer = ["--epochs", 2, "--trainer", "int8", *AWARE]
    assert command(*TRAIN, *longer, root=root) == 2
    assert "was started with epochs = 1, not 2" in capsys.readouterr().err
    monkeypatch.setattr("autoseg.training.loop.TrainingLoop._step", killed)
    fold = compress("int8", *AWARE, root=root)
    assert len(find_int8([fold / "model.safetensors"])) == 1
    assert not list(fold.parent.rglob("checkpoint*"))


def test_int8_is_learnt_on_levels_that_are_there(root: Path, quantised: Path) -> None:
    fold = compress("int8", *AWARE, "--restart", "--from", quantised.parent, root=root)
    before, after = (stored_grids(path / "model.safetensors") for path in (quantised, fold))
    assert {name: grid.levels for name, grid in before.items()}.items() <= {
        name: grid.levels for name, grid in after.items()
    }.items()
    small, large = (path / "model.safetensors" for path in (quantised, fold))
    assert large.stat().st_size < 1.2 * small.stat().st_size
    assert checksum(small) != checksum(large)


def test_int8_that_costs_too_much_is_not_used(root: Path, full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, said = iter([0.8, 0.5]), []
    monkeypatch.setattr("trainers.int8.LOGGER.warning", lambda text, *values: said.append(text % values))
    monkeypatch.setattr("trainers.int8.mean_dice", lambda *task: next(found))
    fold = compress("int8", "--restart", root=root)
    assert len(said) == 1
    assert said[0].endswith("mean Dice 0.8000, in int8 0.5000: refused, more than --int8-tolerance 0.005 is lost")
    assert find_int8([fold / "model.safetensors"]) == ()


def test_compress_chains_what_is_asked_for(root: Path, full: Path) -> None:
    chosen = ["--prune", "25,25,25", "--granularity", 1, "--threshold", "0.5,1,0.5", "--int8-tolerance", 1]
    methods = ["--methods", "int8", "quantization", "threshold_pruning", "channel_pruning"]
    fold = compress("compress", *chosen, *methods, root=root)
    names = [step["name"] for step in report_of(fold)["steps"]]
    assert names == ["full", "channel_pruning_01", "threshold_pruning_01", "quantization_31", "int8"]
    network = load_network(fold / "model.safetensors")
    before = load_network(full / "model.safetensors")
    assert network.spec.levels[0].encoder_widths[0] < before.spec.levels[0].encoder_widths[0]
    assert sparsity(network) > 0.25
    assert len(find_int8([fold / "model.safetensors"])) == 1
    assert (fold / "model.safetensors").stat().st_size < (full / "model.safetensors").stat().st_size / 4


def test_a_restart_without_what_int8_needs_loses_nothing(
    root: Path, full: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> None:
        raise OptionError("int8 needs NNCF.")

    monkeypatch.setattr("trainers.compress.check_installed", missing)
    kept = root / "results" / NAME / "compress__plans__3d_fullres" / "steps" / "kept"
    write_text(kept, "")
    assert command(*TRAIN, "--trainer", "compress", "--methods", "int8", "--restart", root=root) == 2
    assert "int8 needs NNCF" in capsys.readouterr().err
    assert kept.exists()


PRUNED = ["--prune", "25,25,50", "--granularity", 1]
CHAINED = [*PRUNED, "--threshold", "0.5,1,0.5", "--restart"]


@pytest.mark.parametrize(
    ("drop_of", "chosen"),
    [
        ("channel_pruning_02", ["channel_pruning_01", "threshold_pruning_01", "quantization_31"]),
        ("threshold_pruning_01", ["channel_pruning_01", "channel_pruning_02", "quantization_31"]),
    ],
)
def test_where_a_method_costs_too_much_the_next_one_goes_on(
    root: Path, full: Path, monkeypatch: pytest.MonkeyPatch, drop_of: str, chosen: list[str]
) -> None:
    from trainers.compressing import Chain

    monkeypatch.setattr(Chain, "_costs_too_much", lambda self, before, now: now.name == drop_of)
    fold = compress("compress", *CHAINED, root=root)
    steps = [step["name"] for step in report_of(fold)["steps"]]
    assert [name for name in steps if name not in ("full", drop_of)] == chosen
    assert report_of(fold)["chosen"] == chosen[-1]
    network = load_network(fold / "model.safetensors")
    width, before = (
        one.spec.levels[0].encoder_widths[0] for one in (network, load_network(full / "model.safetensors"))
    )
    assert width == before * (3 if drop_of == "channel_pruning_02" else 2) // 4
    assert (sparsity(network) > 0.25) == ("threshold_pruning_01" in chosen)


def test_a_size_is_reached_by_all_methods_together(root: Path, full: Path, caplog: pytest.LogCaptureFixture) -> None:
    size = (full / "model.safetensors").stat().st_size
    wanted = [*PRUNED, "--restart", "--methods", "channel_pruning", "quantization", "--levels", 7]
    fold = compress("compress", *wanted, "--target-size", f"{size / 6 / 1024}K", root=root)
    assert (fold / "model.safetensors").stat().st_size < 1.1 * size / 6
    steps = report_of(fold)["steps"]
    assert steps[-2]["networks"]["3d_fullres"]["bytes"] > size / 5, "no more is cut than the levels need"
    with caplog.at_level("INFO"):
        fold = compress("compress", *wanted, "--target-size", f"{size / 2 / 1024}K", root=root)
    assert [step["name"] for step in report_of(fold)["steps"]] == ["full", "quantization_7"]
    assert "No filter needs to be cut" in caplog.text
    aware = ["--methods", "channel_pruning", "int8", *AWARE, "--restart", "--target-size", f"{size / 2 / 1024}K"]
    fold = compress("compress", "--granularity", 1, *aware, root=root)
    assert [step["name"] for step in report_of(fold)["steps"]] == ["full", "int8"]


@pytest.mark.parametrize(
    ("trainer", "arguments", "said"),
    [
        ("threshold_pruning", ["--threshold", "0.4,0.1,0.2"], "--threshold must be START,STEP,END"),
        ("quantization", ["--levels", 1], "--levels must be 2 to"),
        ("quantization", ["--level-range", -1], "--level-range must be positive"),
        ("int8", ["--int8-tolerance", -1], "--int8-tolerance must be at least 0"),
        ("compress", ["--quantization-aware"], "int8, which is not made here"),
        ("quantization", ["--quantization-aware"], "int8, which is not made here"),
    ],
)
def test_what_cannot_be_is_refused(
    root: Path, full: Path, trainer: str, arguments: list, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*TRAIN, "--trainer", trainer, *arguments, root=root) == 2
    assert said in capsys.readouterr().err
