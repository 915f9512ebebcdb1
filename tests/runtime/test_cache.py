from __future__ import annotations

import platform
from functools import partial
from pathlib import Path

import pytest
import torch

from autoseg.runtime.cache import cache_folder, machine, processor_generation, remembered, vector_instructions


class Counter:
    """Gives 1, 2, 3, ... and so tells how often it was asked."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        return self.count


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_measures_once_per_key(folder: Path) -> None:
    counter = Counter()
    assert [remembered("speed", {"threads": n}, counter) for n in (1, 1, 2, 1)] == [1, 1, 2, 1]
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 1, "key": {"threads": 9}, "value": 7}'])
def test_broken_or_foreign_file_is_measured_again(folder: Path, content: str) -> None:
    counter = Counter()
    remembered("speed", {"threads": 1}, counter)
    next(folder.iterdir()).write_text(content)
    assert remembered("speed", {"threads": 1}, counter) == 2
    assert remembered("speed", {"threads": 1}, counter) == 2


def test_folder_that_cannot_be_written_costs_the_next_measurement(folder: Path) -> None:
    folder.write_text("a file where the folder should be")
    counter = Counter()
    assert [remembered("speed", {}, counter), remembered("speed", {}, counter)] == [1, 2]


def test_folder_is_the_environments_else_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOSEG_CACHE", "/some/where")
    assert cache_folder() == Path("/some/where")
    monkeypatch.delenv("AUTOSEG_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "autoseg"


def test_machine_names_processor_torch_and_threads() -> None:
    found = machine()
    assert found["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    assert found["processor"]
    if platform.machine() == "x86_64" and Path("/proc/cpuinfo").exists():
        assert found["instructions"] == torch.backends.cpu.get_cpu_capability()


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("sse2 avx2 fma avx512f avx512vl avx512bw avx512dq", "AVX512"),
        ("sse2 avx2 fma avx512f", "AVX2"),
        ("", "DEFAULT"),
    ],
)
def test_the_widest_vectors_are_named_as_torch_names_them(
    flags: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    monkeypatch.setattr(Path, "read_text", partial(_given, f"flags : {flags}\n"))
    assert vector_instructions() == named


def test_machines_of_the_same_name_and_another_generation_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for family in (25, 26):
        described = f"model name : AMD EPYC\ncpu family : {family}\nmodel : 1\n\nmodel name : Other\n"
        monkeypatch.setattr(Path, "read_text", partial(_given, described))
        found.append(machine())
    assert [one["processor"] for one in found] == ["AMD EPYC", "AMD EPYC"]
    assert found[0] != found[1]
    assert processor_generation() == "cpu family 26, model 1"


def _given(text: str, *_: object, **__: object) -> str:
    return text
