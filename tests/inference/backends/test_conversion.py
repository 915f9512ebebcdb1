"""Networks in other engines' formats: made once, in a process of its own, known by their weights, and no more of them
than there is room for."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from autoseg.errors import FileError
from autoseg.inference.backends import EngineOptions, conversion, find_backend
from autoseg.inference.backends.conversion import ENDINGS, converted_file, forget_oldest, kept_networks
from autoseg.inference.backends.network_file import NetworkFile, loaded
from autoseg.inference.backends.probe import relative_error, seasoned_network
from autoseg.networks.storage import save_network
from autoseg.plans import LevelSpec, NetworkSpec

SPEC = NetworkSpec("unet", 2, 1, 3, (LevelSpec((1, 1), (3, 3), (8,), (), 8, (8,)), LevelSpec((2, 2), (3, 3), (8,))))
PATCH = (12, 16)
OPTIONS = EngineOptions(PATCH, "fp32", 1)
WINDOWS = np.random.default_rng(0).normal(size=(2, 1, *PATCH)).astype(np.float32)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NetworkFile:
    """A stored network, and a cache of its own."""
    monkeypatch.setenv("AUTOSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(conversion, "_used", set())
    save_network(tmp_path / "model.safetensors", seasoned_network(SPEC))
    return NetworkFile(tmp_path / "model.safetensors")


@pytest.fixture
def expected(network: NetworkFile) -> np.ndarray:
    return find_backend("torch").compile(network, OPTIONS)(WINDOWS)


@pytest.mark.parametrize("kind", ENDINGS)
def test_a_network_is_converted_once(kind: str, network: NetworkFile, monkeypatch: pytest.MonkeyPatch) -> None:
    path = converted_file(network, kind, PATCH)
    assert path is not None
    assert sorted(one.name for one in kept_networks().iterdir()) == sorted(path.stem + one for one in ENDINGS[kind])
    monkeypatch.setattr(conversion, "_make", lambda *_: pytest.fail("it is there already"))
    assert converted_file(network, kind, PATCH) == path


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_what_is_kept_computes_the_same(name: str, network: NetworkFile, expected: np.ndarray) -> None:
    for _ in range(2):
        assert relative_error(find_backend(name).compile(network, OPTIONS)(WINDOWS), expected) < 1e-5


def test_other_weights_windows_or_formats_are_other_files(network: NetworkFile) -> None:
    first = converted_file(network, "openvino", PATCH)
    assert first is not None
    assert converted_file(network, "openvino", (8, 8)) != first
    changed = seasoned_network(SPEC)
    next(changed.parameters()).data.mul_(2)
    save_network(network.path, changed)
    assert converted_file(network, "openvino", PATCH) != first


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_where_nothing_can_be_kept_the_network_is_converted_here(
    name: str, network: NetworkFile, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("AUTOSEG_CACHE", str(tmp_path / "a file"))
    assert relative_error(find_backend(name).compile(network, OPTIONS)(WINDOWS), expected) < 1e-5


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_broken_file_is_made_again(name: str, network: NetworkFile, expected: np.ndarray) -> None:
    kind, patch = {"onnxruntime": ("onnx", ())}.get(name, (name, PATCH))
    path = converted_file(network, kind, patch)
    assert path is not None
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert relative_error(find_backend(name).compile(network, OPTIONS)(WINDOWS), expected) < 1e-5
    assert not path.exists()
    assert converted_file(network, kind, patch) == path
    assert len(path.read_bytes()) == len(whole)


def test_a_broken_network_is_named(network: NetworkFile) -> None:
    network.path.write_bytes(network.path.read_bytes()[:-50])
    with pytest.raises(FileError, match=r"model.safetensors"):
        find_backend("openvino").compile(network, OPTIONS)
    with pytest.raises(FileError, match=r"model.safetensors"):
        _ = NetworkFile(network.path).spec


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    for number, stem in enumerate(("oldest", "older", "newest", "own")):
        for ending in (".xml", ".bin"):
            path = tmp_path / f"{stem}{ending}"
            path.write_bytes(bytes(100))
            os.utime(path, (number, number))
    os.utime(tmp_path / "oldest.xml", (10, 10))  # used since; its values never are
    forget_oldest(tmp_path, spared={"own"}, most_bytes=450)
    assert sorted({path.stem for path in tmp_path.iterdir()}) == ["oldest", "own"]
    forget_oldest(tmp_path, spared={"own"}, most_bytes=0)
    assert sorted({path.stem for path in tmp_path.iterdir()}) == ["own"]


def test_a_network_on_disk_is_loaded_when_it_is_asked_for(network: NetworkFile) -> None:
    assert network.spec == SPEC
    assert loaded(network).spec == SPEC
    inner = seasoned_network(SPEC)
    assert loaded(inner) is inner


def test_an_architecture_of_ones_own_is_not_kept(network: NetworkFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "NETWORKS", {"residual_unet": ""})
    assert converted_file(network, "openvino", PATCH) is None
    assert not kept_networks().exists()


@pytest.fixture
def makers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who converts, as it happens in a process without torch."""
    made: list[str] = []
    monkeypatch.setattr(conversion, "sys", SimpleNamespace(modules={}))
    monkeypatch.setattr(conversion, "answer_of", lambda *_, **__: made.append("child"))
    monkeypatch.setattr(conversion, "convert", lambda *_: made.append("here"))
    return made


def test_only_a_few_processes_are_started(network: NetworkFile, makers: list[str]) -> None:
    for edge in range(8, 24, 2):
        converted_file(network, "openvino", (edge, edge))
    assert makers == ["child"] * conversion.MOST_CHILDREN + ["here"] * 4


def test_within_a_bound_on_memory_both_processes_count(network: NetworkFile, makers: list[str]) -> None:
    converted_file(network, "openvino", PATCH, memory_bytes=1 << 20)
    converted_file(network, "openvino", PATCH, memory_bytes=1 << 40)
    assert makers == ["here", "child"]


def test_networks_in_use_stay_however_many_there_are(network: NetworkFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "forget_oldest", partial(forget_oldest, most_bytes=0))
    paths = [converted_file(network, "openvino", (edge, 8)) for edge in (8, 16)]
    assert all(path is not None and path.is_file() for path in paths)
    conversion._used.clear()
    assert converted_file(network, "onnx", ()) is not None
    assert not any(path is not None and path.is_file() for path in paths)


def test_a_cache_that_may_only_be_read_is_left(
    network: NetworkFile, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = converted_file(network, "openvino", PATCH)
    assert path is not None
    path.write_bytes(b"broken")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", refuse)
    assert relative_error(find_backend("openvino").compile(network, OPTIONS)(WINDOWS), expected) < 1e-5
    monkeypatch.setattr(conversion.os, "access", lambda *_: False)
    assert converted_file(network, "onnx", ()) is None
