"""autoseg_predict from images to labels: continued, ensembled, chosen by its scores, and refused with reasons."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import predict
from autoseg.evaluation import evaluate_case, summarize, write_summary
from autoseg.files import read_json
from autoseg.geometry import Geometry
from autoseg.inference.manifest import MANIFEST
from autoseg.io import Volume, read_geometry, read_image, read_labels, write_image
from autoseg.plans import write_plans

QUICK = ["--flips", "none", "--precision", "fp32", "--device", "cpu", "--threads", "1"]
RUN = "import sys; from autoseg.cli.predict import main; sys.exit(main(sys.argv[1:]))"
RESULTS = "results/Dataset001_Small"
GEOMETRY = Geometry((20, 15, 17), (1.2, 1.6, 1.4), (3.0, -4.0, 5.0))


@pytest.fixture
def root(write_model, tmp_path: Path) -> Path:
    write_model(tmp_path / RESULTS / "standard__plans__3d_fullres", folds=("0", "1"))
    return tmp_path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images", 3)


def write_images(folder: Path, count: int) -> Path:
    for number in range(count):
        array = np.random.default_rng(number).normal(size=GEOMETRY.shape).astype(np.float32)
        write_image(folder / f"case{number}_0000.nii.gz", Volume(array, GEOMETRY))
    return folder


def run(root: Path, images: Path, out: str, *options: str, configuration: str = "3d_fullres") -> int:
    model = [] if "--model" in options else ["-d", "1", "-c", *configuration.split()]
    return predict.main(["--root", str(root), *model, "-i", str(images), "-o", str(root / out), *QUICK, *options])


def labels_in(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: read_labels(path).array for path in sorted(folder.glob("*.nii.gz"))}


def assert_same(first: Path, second: Path) -> None:
    left, right = labels_in(first), labels_in(second)
    assert list(left) == list(right)
    for name, array in left.items():
        np.testing.assert_array_equal(array, right[name])


def test_a_folder_of_images_becomes_labels_on_their_grids(root: Path, images: Path, capfd) -> None:
    assert run(root, images, "out") == 0
    assert list(labels_in(root / "out")) == ["case0.nii.gz", "case1.nii.gz", "case2.nii.gz"]
    assert read_geometry(root / "out" / "case0.nii.gz").matches(GEOMETRY, 1e-4)
    assert "case1: " in (told := capfd.readouterr().err)
    assert "2 of 3 done" in told
    record = read_json(root / "out" / MANIFEST)
    assert sorted(record["seconds"]) == ["case0", "case1", "case2"]
    assert record["models"][0]["folds"] == ["0", "1"]


def test_a_model_folder_stands_in_place_of_dataset_and_configuration(root: Path, images: Path) -> None:
    run(root, images, "out")
    copied = shutil.copytree(root / RESULTS / "standard__plans__3d_fullres", root / "copy" / "my__model__3d_fullres")
    assert run(root, images / "case0_0000.nii.gz", "other", "--model", str(copied), "--workers", "0") == 0
    np.testing.assert_array_equal(
        read_labels(root / "other" / "case0.nii.gz").array, read_labels(root / "out" / "case0.nii.gz").array
    )


def test_continue_leaves_finished_cases_and_makes_the_others(root: Path, images: Path, capfd) -> None:
    run(root, images, "whole")
    run(root, images / "case1_0000.nii.gz", "out")
    before = (root / "out" / "case1.nii.gz").stat().st_mtime_ns
    (root / "out" / ".partial-999999999-case0.nii.gz").touch()
    capfd.readouterr()
    assert run(root, images, "out", "--continue") == 0
    assert "1 of 3 cases are finished already" in capfd.readouterr().out
    assert (root / "out" / "case1.nii.gz").stat().st_mtime_ns == before
    assert not list((root / "out").glob(".partial*"))
    assert_same(root / "out", root / "whole")


def test_continue_takes_the_engines_of_the_earlier_run(root: Path, images: Path, monkeypatch, capfd) -> None:
    from autoseg.inference.backends import choice

    run(root, images / "case1_0000.nii.gz", "out")
    (engines,) = read_json(root / "out" / MANIFEST)["engines"]
    assert [(engine["backend"], engine["precision"]) for engine in engines] == [("torch", "fp32")]
    monkeypatch.setattr(choice, "pays", lambda task, count: pytest.fail("chose again"))
    assert run(root, images, "out", "--continue") == 0
    assert read_json(root / "out" / MANIFEST)["engines"] == [engines]
    assert "engine: torch fp32 (" in capfd.readouterr().out
    assert run(root, images, "out", "--continue", "--backend", "torch") == 2
    assert "made with other backend" in capfd.readouterr().err


def test_a_backend_that_is_not_installed_is_told_before_anything_is_written(
    root: Path, images: Path, monkeypatch, capfd
) -> None:
    from autoseg.inference import backends

    monkeypatch.setattr(backends, "find_spec", lambda package: None)
    assert run(root, images, "out", "--backend", "openvino") == 2
    told = capfd.readouterr().err
    assert "needs openvino, which is not installed" in told
    assert backends.INSTALL in told
    assert not (root / "out").exists()


def test_without_continue_everything_is_made_again(root: Path, images: Path) -> None:
    run(root, images, "out")
    before = (root / "out" / "case1.nii.gz").stat().st_mtime_ns
    run(root, images, "out")
    assert (root / "out" / "case1.nii.gz").stat().st_mtime_ns != before


def test_continue_with_other_settings_is_refused(root: Path, images: Path, capfd) -> None:
    run(root, images, "out")
    assert run(root, images, "out", "--continue", "--folds", "1") == 2
    assert "made with other models" in capfd.readouterr().err
    assert run(root, images, "out", "--continue", "--overlap", "0.25") == 2
    assert "made with other overlap" in capfd.readouterr().err


def test_a_killed_command_is_continued_to_the_same_result(root: Path, tmp_path: Path) -> None:
    images = write_images(tmp_path / "many", 8)
    command = [sys.executable, "-c", RUN, "--root", str(root), "-d", "1", "-c", "3d_fullres"]
    command += ["-i", str(images), "-o", str(root / "out"), *QUICK, "--overlap", "0.75"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (root / "out" / "case1.nii.gz").exists():
        assert child.poll() is None
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert len(labels_in(root / "out")) < 8
    assert run(root, images, "out", "--continue", "--overlap", "0.75") == 0
    run(root, images, "whole", "--overlap", "0.75")
    assert_same(root / "out", root / "whole")


def test_probabilities_are_kept_beside_the_labels(root: Path, images: Path) -> None:
    assert run(root, images / "case0_0000.nii.gz", "out", "--save-probabilities") == 0
    from autoseg.io import read_channels

    kept = read_channels(root / "out" / "probabilities" / "case0.nii.gz")
    np.testing.assert_allclose(kept.array.sum(0), 1, atol=1e-5)
    agreement = kept.array.argmax(0) == read_labels(root / "out" / "case0.nii.gz").array
    assert agreement.mean() > 0.9999


def test_two_configurations_are_averaged(root: Path, images: Path, write_model) -> None:
    write_model(root / RESULTS / "standard__plans__2d", configuration="2d", seed=5)
    assert run(root, images / "case0_0000.nii.gz", "both", configuration="3d_fullres 2d") == 0
    assert len(read_json(root / "both" / MANIFEST)["models"]) == 2


def test_best_takes_the_highest_cross_validated_dice(root: Path, images: Path, write_model, capfd) -> None:
    write_model(root / RESULTS / "standard__plans__2d", configuration="2d", seed=5)
    score(root / RESULTS / "standard__plans__3d_fullres" / "fold_0", shift=2)
    score(root / RESULTS / "standard__plans__2d" / "fold_0", shift=1)
    assert run(root, images / "case0_0000.nii.gz", "out", configuration="best") == 0
    assert read_json(root / "out" / MANIFEST)["models"][0]["name"] == "standard__plans__2d"
    assert capfd.readouterr().out.index("__2d") >= 0


def test_best_compares_over_shared_cases(root: Path, images: Path, write_model, capfd) -> None:
    write_model(root / RESULTS / "standard__plans__2d", configuration="2d", seed=5)
    score(root / RESULTS / "standard__plans__3d_fullres" / "fold_0", shift=1)
    score(root / RESULTS / "standard__plans__2d" / "fold_0", shift=2)
    score(root / RESULTS / "standard__plans__2d" / "fold_1", shift=0, case="easy")
    assert run(root, images / "case0_0000.nii.gz", "out", configuration="best") == 0
    assert read_json(root / "out" / MANIFEST)["models"][0]["name"] == "standard__plans__3d_fullres"


def test_best_warns_where_no_case_is_shared(root: Path, images: Path, write_model, caplog) -> None:
    write_model(root / RESULTS / "standard__plans__2d", configuration="2d", seed=5)
    score(root / RESULTS / "standard__plans__3d_fullres" / "fold_0", shift=1)
    score(root / RESULTS / "standard__plans__2d" / "fold_0", shift=0, case="easy")
    assert run(root, images / "case0_0000.nii.gz", "out", configuration="best") == 0
    assert "share no held-out case" in caplog.text


def score(fold: Path, *, shift: int, case: str = "case") -> None:
    from autoseg.dataset import Labels

    reference = np.zeros((8, 8, 8), np.int16)
    reference[2:5, 2:5, 2:5] = 1
    labels, geometry = Labels({"organ_left": (1,)}), Geometry((8, 8, 8), (1.0, 1.0, 1.0))
    scores = evaluate_case(np.roll(reference, shift, 0), reference, labels, geometry, surface=False)
    write_summary(fold / "summary.json", summarize({case: scores}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-c", "3d_fullres"], "Which model is to be used"),
        (["-d", "1", "-c", "3d_lowres"], "no trained model of the configuration '3d_lowres'"),
        (["-d", "1", "-c", "best"], "no model with cross-validated scores"),
        (["-d", "2", "-c", "2d"], "There is no dataset 2"),
        (["-d", "1", "-c", "2d", "--model", "x"], "stands in place of"),
        (["-d", "1", "-c", "3d_fullres", "--folds", "4"], "no finished network of fold 4"),
        (["-d", "1", "-c", "3d_fullres", "--overlap", "1"], "overlap must be at least 0 and below 1"),
        (["-d", "1", "-c", "3d_fullres", "--threads", "0"], "--threads must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_done_is_told(root: Path, images: Path, capfd, options: list[str], message: str) -> None:
    assert predict.main(["--root", str(root), "-i", str(images), "-o", str(root / "out"), *options]) == 2
    assert message in capfd.readouterr().err
    assert not (root / "out").exists()


def test_several_trainers_are_listed(root: Path, images: Path, write_model, capfd) -> None:
    write_model(root / RESULTS / "mine__plans__3d_fullres")
    assert run(root, images, "out") == 2
    assert "several trainers: mine, standard" in capfd.readouterr().err
    assert run(root, images / "case0_0000.nii.gz", "out", "--trainer", "mine") == 0


def test_a_bad_header_stops_the_command_before_anything_is_written(root: Path, images: Path, capfd) -> None:
    (images / "bad_0000.nii.gz").write_bytes(b"nothing")
    assert run(root, images, "out") == 2
    assert "bad_0000.nii.gz" in capfd.readouterr().err
    assert not (root / "out").exists()


def test_a_case_that_cannot_be_predicted_is_left_out_and_told(root: Path, images: Path, capfd) -> None:
    array = read_image([images / "case1_0000.nii.gz"]).array[0]
    array[3, 3, 3] = np.nan
    write_image(images / "case1_0000.nii.gz", Volume(array, GEOMETRY))
    assert run(root, images, "out") == 2
    assert list(labels_in(root / "out")) == ["case0.nii.gz", "case2.nii.gz"]
    told = capfd.readouterr().err
    assert "1 of 3 cases were not predicted" in told
    assert "case1" in told


def test_a_wrong_number_of_flips_is_told_by_the_parser(capfd) -> None:
    with pytest.raises(SystemExit):
        predict.make_parser().parse_args(["-i", "a", "-o", "b", "--flips", "some"])
    assert "neither all, none nor a number of flips" in capfd.readouterr().err


def test_what_does_not_fit_into_memory_is_refused_before_anything_is_written(root: Path, images: Path, capfd) -> None:
    assert run(root, images, "out", "--memory", "20M") == 2
    assert re.search(r"takes .*G, more than --memory 0\.02G\.\s+Give at least --memory", capfd.readouterr().err)
    assert not (root / "out").exists()
    assert run(root, images, "bounded", "--memory", "8G") == 0
    run(root, images, "free")
    assert_same(root / "bounded", root / "free")


@pytest.mark.parametrize("name", ["*", "pl?ns", "plans/../plans"])
def test_a_name_that_plans_cannot_have_finds_no_model(root: Path, images: Path, name: str, capsys) -> None:
    assert run(root, images, "out", "--plans-name", name) == 2
    assert f"Plans cannot be called {name!r}" in capsys.readouterr().err
    assert not (root / "out").exists()


def test_a_pattern_is_no_configuration(root: Path, images: Path, capsys) -> None:
    assert run(root, images, "out", configuration="3d_*") == 2
    assert "no trained model of the configuration '3d_*'" in capsys.readouterr().err
    assert run(root, images, "out", "--trainer", "*") == 2


def test_a_configuration_that_was_never_planned_is_told_so(root: Path, images: Path, write_model, capsys) -> None:
    plans = write_model(root / "elsewhere")
    write_plans(root / "prepared" / "Dataset001_Small" / "plans.json", plans)
    assert run(root, images, "out", configuration="3d_huge") == 2
    told = capsys.readouterr().err
    assert "The plans 'plans' have no configuration '3d_huge'. " in told.replace("\n", " ")
    assert "They have 3d_fullres, 2d, 3d_cascade" in told
    assert "autoseg_train" not in told
    assert run(root, images, "out", configuration="2d") == 2
    assert "Train it with autoseg_train Dataset001_Small 2d" in capsys.readouterr().err


def test_engines_are_told_by_their_stage_where_there_are_several(root: Path, images: Path, write_model, capsys) -> None:
    write_model(root / RESULTS / "cascade__plans__3d_cascade", configuration="3d_cascade")
    assert run(root, images, "out", "--backend", "torch", configuration="3d_cascade") == 0
    told = capsys.readouterr().out
    assert "engine of 3d_lowres: torch fp32 (" in told
    assert "engine of 3d_cascade_fullres: torch fp32 (" in told
    assert run(root, images, "plain", "--backend", "torch") == 0
    assert "engine: torch fp32 (" in capsys.readouterr().out
