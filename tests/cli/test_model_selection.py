"""What autoseg_predict -c best does beside bounds on time and memory: as was measured, and within them."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import predict
from autoseg.evaluation.bootstrap import Estimate
from autoseg.evaluation.trade_off import TRADE_OFF, Measured, TradeOff, trade_off_folder
from autoseg.files import write_json
from autoseg.geometry import Geometry
from autoseg.inference.model_costs import networks_checksum
from autoseg.inference.model_files import read_model_files
from autoseg.io import Volume, write_image
from autoseg.runtime.cache import machine

RESULTS = Path("results/Dataset001_Small")
GIGA = 1024**3


@pytest.fixture
def root(tmp_path: Path, write_model, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a model, which was measured with one thread; an image; eight threads to begin with."""
    write_model(tmp_path / RESULTS / "standard__plans__3d_fullres")
    write_image(tmp_path / "image.nii.gz", Volume(np.zeros((9, 9, 9), np.float32), Geometry((9, 9, 9), (1.5,) * 3)))
    threads = [8]
    monkeypatch.setattr("torch.get_num_threads", lambda: threads[-1])
    monkeypatch.setattr("torch.set_num_threads", threads.append)
    write_measured(tmp_path)
    return tmp_path


def write_measured(root: Path, *, device: str = "cpu", **facts: object) -> None:
    """A trade-off of the model alone. facts: what is another's about the machine."""
    files = read_model_files(root / RESULTS / "standard__plans__3d_fullres")
    measured = Measured(
        kind="full",
        model=files.folder.name,
        folds=files.folds,
        configuration=files.configuration,
        backend="torch",
        precision="fp32",
        device=device,
        dice=Estimate(0.8, None, None, 1),
        difference=None,
        bytes=1,
        parameters=1,
        multiply_adds=1.0,
        seconds_per_case=1.0,
        peak_bytes=1,
        networks=networks_checksum(files, "fp32"),
        made_from="",
    )
    trade_off = TradeOff("plans", ("a",), machine() | {"threads": 1} | facts, (measured,))
    write_json(trade_off_folder(root / RESULTS) / TRADE_OFF, trade_off)


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> list[Namespace]:
    """The arguments of predictions, in place of these."""
    found: list[Namespace] = []
    monkeypatch.setattr(predict, "_predict_cases", lambda left, prediction, arguments: found.append(arguments))
    return found


def chosen(root: Path, *more: str) -> int:
    places = ["--root", str(root), "-i", str(root / "image.nii.gz"), "-o", str(root / "out")]
    return predict.main([*places, "-d", "1", "-c", "best", "--threads", "1", *more])


@pytest.mark.parametrize(
    ("more", "workers", "memory"), [([], 0, None), (["--workers", "2", "--memory", "3G"], 2, 3 * GIGA)]
)
def test_no_volume_waits_as_was_measured(
    root: Path, spied: list[Namespace], more: list[str], workers: int, memory: int | None
) -> None:
    assert chosen(root, "--max-memory", "2G", *more) == 0
    assert [(one.workers, one.memory) for one in spied] == [(workers, memory)]


@pytest.mark.parametrize(("bound", "said"), [("1M", True), ("20G", False)])
def test_a_case_that_may_take_more_than_the_bound_is_told(
    root: Path, capsys: pytest.CaptureFixture[str], bound: str, said: bool
) -> None:
    assert chosen(root, "--max-memory", bound) == 0
    assert ("note: --max-memory chose by the cases that were measured" in capsys.readouterr().err) == said
    assert list((root / "out").glob("*.nii.gz"))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"threads": 7}, "was measured with --threads 7, not 1;"),
        ({"generation": "model 9"}, "was measured on another machine;"),
        ({"processor": "another"}, "was measured on another machine;"),
        ({}, ""),
    ],
    ids=str,
)
def test_another_machine_or_number_of_threads_is_told(
    root: Path, spied: list[Namespace], facts: dict[str, object], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_measured(root, **facts)
    assert chosen(root, "--max-seconds", "2") == 0
    assert said in caplog.text if said else "was measured" not in caplog.text
    assert len(spied) == 1
