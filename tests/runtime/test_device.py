from __future__ import annotations

import pytest
import torch

from autoseg.errors import OptionError
from autoseg.runtime import choose_device


@pytest.mark.parametrize(("available", "device"), [(False, "cpu"), (True, "cuda")])
def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch, available: bool, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert choose_device("auto") == device


def test_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match="no usable GPU"):
        choose_device("cuda:1")


def test_no_device() -> None:
    with pytest.raises(OptionError, match="'gpu' is no device"):
        choose_device("gpu")
