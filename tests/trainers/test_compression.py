"""Channel pruning from the command line, on a small phantom: folders, resuming, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoseg.files import checksum, write_json
from autoseg.networks.storage import load_network, read_spec
from autoseg.plans import read_plans
from tests.commands import NAME, command, small_workspace

SHORT = ["--epochs", 1, "--iterations-per-epoch", 2, "--threads", 1, "--precision", "fp32"]
TRAIN = ["train", 1, "3d_fullres", "--folds", 0, *SHORT]
PRUNE = [*TRAIN, "--trainer", "channel_pruning", "--granularity", 1, "--prune", "25,25,50"]


@pytest.fixture(autouse=True)
def _no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds per patch that are the widths', in place of a minute of measuring."""
    from autoseg.compression.latency import Latency

    def latency(stage: object, networks: list, *, device: str) -> Latency:
        return Latency(tuple(sum(sum(level.encoder_widths) for level in spec.levels) for spec in networks), "none")

    monkeypatch.setattr("autoseg.compression.latency.measured_latency", latency)
    monkeypatch.setattr("trainers.measures.measured_latency", latency)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a trained model of a phantom dataset."""
    root = small_workspace(tmp_path_factory.mktemp("workspace"), "-c", "3d_fullres")
    assert command(*TRAIN, root=root) == 0
    return root


@pytest.fixture(scope="module")
def results(root: Path) -> Path:
    return root / "results" / NAME


@pytest.fixture(scope="module")
def full(results: Path) -> Path:
    return results / "standard__plans__3d_fullres"


@pytest.fixture(scope="module")
def pruned(root: Path, results: Path, full: Path) -> Path:
    with pytest.MonkeyPatch.context() as patched:
        _no_measuring.__wrapped__(patched)
        assert command(*PRUNE, root=root) == 0
    return results / "channel_pruning__plans__3d_fullres"


def test_the_result_is_a_model_like_any_other(root: Path, pruned: Path, full: Path) -> None:
    before, after = (read_spec(folder / "fold_0" / "model.safetensors") for folder in (full, pruned))
    (stage,) = read_plans(pruned / "plans.json").stages.values()
    assert stage.network == after
    assert [level.encoder_widths[0] for level in after.levels] == [
        level.encoder_widths[0] // 2 for level in before.levels
    ]
    out = root / "out"
    predict = ["predict", "-d", 1, "-c", "3d_fullres", "--trainer", "channel_pruning"]
    assert command(*predict, "-i", root / "raw" / NAME / "imagesTs", "-o", out, root=root) == 0
    assert list(out.glob("*.nii.gz"))


def test_the_report_has_every_step(pruned: Path, full: Path) -> None:
    report = json.loads((pruned / "compression.json").read_text())
    assert [step["name"] for step in report["steps"]] == ["full", "channel_pruning_01", "channel_pruning_02"]
    assert report["chosen"] == "channel_pruning_02"
    assert report["source"] == full.name
    assert report["made_from"]["fold_0/model.safetensors"] == checksum(full / "fold_0" / "model.safetensors")
    sizes = [step["networks"]["3d_fullres"] for step in report["steps"]]
    for name in ("parameters", "multiply_adds", "bytes"):
        assert sizes[0][name] > sizes[1][name] > sizes[2][name]
    path = pruned / "fold_0" / "model.safetensors"
    assert sizes[-1]["bytes"] == path.stat().st_size
    assert sizes[-1]["parameters"] == sum(value.numel() for value in load_network(path).parameters())
    assert report["dice_before"] is not None
    assert report["dice_after"] is not None


def test_a_killed_run_goes_on_at_its_step(root: Path, pruned: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, last = (pruned / "steps" / f"channel_pruning_0{number}" for number in (1, 2))
    before = (first / "fold_0" / "model.safetensors").stat().st_mtime_ns
    (last / "step.json").unlink()
    (last / "fold_0" / "model.safetensors").unlink()
    (pruned / "compression.json").unlink()
    with caplog.at_level("INFO"):
        assert command(*PRUNE, root=root) == 0
    assert "step 2 of 2" in caplog.text
    assert "step 1 of 2" not in caplog.text
    assert (first / "fold_0" / "model.safetensors").stat().st_mtime_ns == before
    assert (pruned / "compression.json").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--prune-criterion", "scale"], "was begun with criterion magnitude, not scale"),
        (["--distil", 0], "was made out of another network, or in another way"),
    ],
)
def test_other_options_than_before_are_refused(
    root: Path, pruned: Path, capsys: pytest.CaptureFixture[str], more: list, said: str
) -> None:
    assert command(*PRUNE, *more, root=root) == 2
    assert said in capsys.readouterr().err


def test_a_finished_compression_is_not_measured_again(
    root: Path, pruned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.measures.measured_latency", None)
    before = (pruned / "compression.json").stat().st_mtime_ns
    assert command(*PRUNE, root=root) == 0
    assert (pruned / "compression.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(("cost", "chosen"), [(0.4, "channel_pruning_02"), (0.6, "channel_pruning_01")])
def test_the_step_that_costs_too_much_is_not_taken(root: Path, pruned: Path, cost: float, chosen: str) -> None:
    before = json.loads((pruned / "compression.json").read_text())["dice_before"]
    for number, dice in ((1, before - 0.4), (2, before - cost)):
        path = pruned / "steps" / f"channel_pruning_0{number}" / "step.json"
        write_json(path, json.loads(path.read_text()) | {"fold_dice": {"0": dice}})
    assert command(*PRUNE, "--max-dice-drop", 0.5, root=root) == 0
    report = json.loads((pruned / "compression.json").read_text())
    assert report["chosen"] == chosen
    assert len(report["steps"]) == 3
    chosen_file = pruned / "steps" / chosen / "fold_0" / "model.safetensors"
    assert checksum(pruned / "fold_0" / "model.safetensors") == checksum(chosen_file)


def test_a_first_step_that_costs_too_much_is_told(root: Path, pruned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = pruned / "steps" / "channel_pruning_01" / "step.json"
    kept = path.read_text()
    write_json(path, json.loads(kept) | {"fold_dice": {"0": -1.0}})
    assert command(*PRUNE, "--max-dice-drop", 0.5, root=root) == 2
    assert "Already the first step takes mean Dice from" in capsys.readouterr().err
    path.write_text(kept)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*TRAIN, "--granularity", 8], "The trainer standard makes no model smaller"),
        ([*PRUNE, "--prune", "30,5,20"], "--prune must be START,STEP,END"),
        ([*PRUNE, "--unlabelled", "here", "--distil", 0], "--unlabelled needs a teacher"),
        ([*PRUNE, "--pretrained", "x"], "Leave out --pretrained"),
        ([*PRUNE, "--from", "/nowhere"], "is no model folder"),
        ([*PRUNE, "--from", "."], "lies where the compressed model is to be made"),
        ([*PRUNE, "--compress-stages", "locate"], "has no stage 'locate'"),
        ([*PRUNE, "--folds", 1], "does not exist, but is to be compressed"),
    ],
)
def test_what_cannot_be_is_refused(
    root: Path,
    pruned: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list,
    said: str,
) -> None:
    monkeypatch.chdir(pruned)
    assert command(*arguments, root=root) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--granularity", 64], "Nothing would be cut"),
        (["--target-latency", "0.01x"], "does not reach the target even without"),
        (["--folds", 1], "does not exist, but is to be compressed"),
    ],
)
def test_a_restart_that_cannot_be_loses_nothing(
    root: Path, pruned: Path, capsys: pytest.CaptureFixture[str], more: list, said: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in pruned.rglob("*")}
    assert command(*PRUNE, *more, "--restart", root=root) == 2
    assert said in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in pruned.rglob("*")} == before


def test_without_a_model_there_is_nothing_to_compress(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("train", 1, "2d", "--trainer", "channel_pruning", root=root) == 2
    assert "there is no model to compress" in capsys.readouterr().err


def test_its_file_is_as_small_as_it_was_to_be(root: Path, pruned: Path, full: Path) -> None:
    most = round(0.4 * (full / "fold_0" / "model.safetensors").stat().st_size)
    assert command(*PRUNE, "--target-size", f"{most / 1024}K", "--restart", root=root) == 0
    assert 0.5 * most < (pruned / "fold_0" / "model.safetensors").stat().st_size <= most


def test_with_a_teacher_on_unlabelled_images(root: Path, pruned: Path) -> None:
    images = root / "raw" / NAME / "imagesTs"
    more = ["--unlabelled", images, "--distil", 1, "--distil-features", 0.1, "--prune-criterion", "taylor"]
    assert command(*PRUNE, *more, "--restart", root=root) == 0
    (prepared,) = (root / "prepared" / NAME).glob("unlabelled_*_plans_3d_fullres")
    assert len(list(prepared.glob("*.json"))) == len(list(images.glob("*.nii.gz")))
    assert not list(prepared.glob("*_labels.npy"))
