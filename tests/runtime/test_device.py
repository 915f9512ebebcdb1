from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from autoseg.errors import OptionError
from autoseg.runtime import choose_device, describe_device, device


@pytest.mark.parametrize(("available", "device"), [(False, "cpu"), (True, "cuda")])
def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch, available: bool, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert choose_device("auto") == device


@pytest.mark.parametrize(
    ("told", "is_for_cpu"),
    [
        ("cuda: Optional[str] = None\nhip: Optional[str] = None\n", True),
        ("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", False),
        ("cuda = None\nhip = '6.3'\n", False),
        ("__version__ = '2.6.0'\n", False),
    ],
    ids=["cpu", "cuda", "rocm", "unknown"],
)
def test_torch_that_was_built_without_gpus_is_not_loaded_to_ask(
    told: str, is_for_cpu: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("")
    (tmp_path / "torch" / "version.py").write_text(told)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not device._is_made_for_cpu(), "it is loaded: it can be asked"
    monkeypatch.delitem(sys.modules, "torch")
    assert device._is_made_for_cpu() == is_for_cpu


def test_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="no usable GPU"):
        choose_device("cuda:1")


def test_no_device() -> None:
    with pytest.raises(OptionError, match="'gpu' is no device"):
        choose_device("gpu")


@pytest.mark.parametrize(("count", "last"), [(1, "cuda:0"), (7, "cuda:6")])
def test_gpu_beyond_the_last_one(monkeypatch: pytest.MonkeyPatch, count: int, last: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert choose_device(last) == last
    with pytest.raises(OptionError, match=f"--device cuda:7: the last GPU of this machine is {last}. Use --device"):
        choose_device("cuda:7")


def test_a_device_is_described_by_its_kind_and_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda name: f"GPU of {name}")
    assert describe_device("cuda:1") == "cuda: GPU of cuda:1"
    monkeypatch.setattr(device, "processor_name", lambda: "AMD EPYC")
    monkeypatch.setattr(device, "processor_generation", lambda: "cpu family 25, model 1")
    assert describe_device("cpu") == "cpu: AMD EPYC, cpu family 25, model 1"
    monkeypatch.setattr(device, "processor_generation", lambda: "")
    assert describe_device("cpu") == "cpu: AMD EPYC"
