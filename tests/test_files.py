from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.errors import FileError, FormatError
from autoseg.files import (
    TEMPORARY_PREFIX,
    atomic_path,
    checksum,
    checksum_of,
    from_json,
    link_file,
    read_json,
    remove_partial_files,
    to_json,
    write_json,
    write_text,
)
from autoseg.geometry import Geometry


@dataclass(frozen=True)
class Part:
    name: str
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Whole:
    ratio: float
    pair: tuple[int, str]
    parts: dict[str, Part]
    best: Part | None = None
    anything: Any = None
    flags: tuple[bool, ...] = field(default_factory=tuple)


WHOLE = Whole(
    0.5, (3, "x"), {"a": Part("one", (1, 2)), "b": Part("two")}, Part("best"), [1, {"k": None}], (True, False)
)
SOUND: dict[str, Any] = {"ratio": 1.0, "pair": [1, "x"], "parts": {}}


def test_json_round_trip(tmp_path: Path) -> None:
    write_json(tmp_path / "whole.json", WHOLE)
    assert from_json(Whole, read_json(tmp_path / "whole.json"), "whole.json") == WHOLE


def test_fields_with_a_default_may_be_missing() -> None:
    assert from_json(Whole, SOUND, "f.json") == Whole(1.0, (1, "x"), {})


def test_a_whole_number_is_a_float_where_one_is_wanted() -> None:
    found = from_json(Whole, {**SOUND, "ratio": 2}, "f.json").ratio
    assert isinstance(found, float)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"extra": 1}, "unknown key 'extra' in Whole"),
        ({"parts": {"a": {"name": "x", "size": 3}}}, r"unknown key 'size' in Whole\.parts\.a"),
        ({"parts": {"a": {}}}, r"missing key 'name' in Whole\.parts\.a"),
        ({"parts": []}, r"Whole\.parts must be an object, not \[\]"),
        ({"ratio": "1"}, r"Whole\.ratio must be float, not '1'"),
        ({"ratio": True}, r"Whole\.ratio must be float, not True"),
        ({"ratio": None}, r"Whole\.ratio must be float, not None"),
        ({"pair": [1]}, r"Whole\.pair must be a list of 2, not \[1\]"),
        ({"pair": [True, "x"]}, r"Whole\.pair\[0\] must be int, not True"),
        ({"pair": [1.5, "x"]}, r"Whole\.pair\[0\] must be int, not 1\.5"),
        ({"pair": "1x"}, r"Whole\.pair must be a list, not '1x'"),
        ({"best": 3}, r"Whole\.best must be an object, not 3"),
        ({"flags": [1]}, r"Whole\.flags\[0\] must be bool, not 1"),
    ],
)
def test_wrong_json_names_the_file_and_the_key(changes: dict[str, Any], fact: str) -> None:
    with pytest.raises(FormatError, match=f"^folder/f.json: {fact}"):
        from_json(Whole, {**SOUND, **changes}, "folder/f.json")


def test_a_missing_key_is_named() -> None:
    with pytest.raises(FormatError, match=r"missing key 'ratio' in Whole\. The file was made by another version"):
        from_json(Whole, {"pair": [1, "x"], "parts": {}}, "f.json")


def test_values_that_contradict_each_other_name_the_file() -> None:
    values = Geometry((2, 2, 2), (1.0, 1.0, 1.0)).to_json() | {"spacing_mm": [1.0, 0.0, 1.0]}
    with pytest.raises(FormatError, match=r"f\.json: Geometry: Spacing must be positive"):
        from_json(Geometry, values, "f.json")


def test_numpy_and_paths_become_plain_json() -> None:
    values = {1: np.float32(0.5), "a": np.arange(3), "p": Path("x/y"), "t": (np.int64(2), np.bool_(True))}
    assert json.dumps(to_json(values)) == '{"1": 0.5, "a": [0, 1, 2], "p": "x/y", "t": [2, true]}'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_holds_no_nan(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "f.json", {"a": value})
    assert list(tmp_path.iterdir()) == []


def test_reading_json_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    with pytest.raises(FileError, match=r"f\.json: does not exist"):
        read_json(path)
    path.write_text('{"a": 1,\n}')
    with pytest.raises(FormatError, match=r"f\.json: is not valid JSON \(.*line 2"):
        read_json(path)
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(FormatError, match="is not valid JSON"):
        read_json(path)
    with pytest.raises(FileError, match="cannot be read"):
        read_json(tmp_path)


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "f.json") == {"a": 1}


def test_a_failing_body_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "f.txt"
    write_text(path, "old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyError("stopped")

    with pytest.raises(KeyError):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["f.txt"]


def test_the_temporary_file_has_the_same_ending_and_folder(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "case.nii.gz") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(TEMPORARY_PREFIX)
        assert temporary.name.endswith("-case.nii.gz")
        temporary.touch()
    assert os.listdir(tmp_path) == ["case.nii.gz"]


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "in the way")
    with pytest.raises(FileError, match=r"file/f\.txt: cannot be written .* Free space or choose another folder"):
        write_text(tmp_path / "file" / "f.txt", "x")


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "f.txt").mkdir()
    with pytest.raises(FileError, match=r"f\.txt: cannot be written"):
        write_text(tmp_path / "f.txt", "x")
    assert os.listdir(tmp_path) == ["f.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(FileError, match="Permission denied"):
        write_text(tmp_path / "closed" / "f.txt", "x")


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "f.txt") as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(FileError, match=r"f\.txt: cannot be written \(No space left on device\)\. Free space"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_killed_while_writing(tmp_path: Path) -> None:
    """What a killed process leaves is not the artefact, and is removed by the next run."""
    code = (
        "import os, sys\nfrom autoseg.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as t:\n t.write_text('half')\n os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "f.txt"
    done = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert done.returncode == -9
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 1
    remove_partial_files(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_running_command_writes_stays(tmp_path: Path) -> None:
    mine = tmp_path / f"{TEMPORARY_PREFIX}{os.getpid()}-f.txt"
    mine.touch()
    (tmp_path / f"{TEMPORARY_PREFIX}strange").touch()
    remove_partial_files(tmp_path)
    assert list(tmp_path.iterdir()) == [mine]


def test_checksum_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert checksum(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(FileError, match="cannot be read"):
        checksum(tmp_path / "none")


def test_equal_values_have_equal_checksums() -> None:
    assert checksum_of({"a": (1, 2), "b": 0.1}) == checksum_of({"b": np.float64(0.1), "a": [1, 2]})
    assert checksum_of({"a": (1, 2)}) != checksum_of({"a": (2, 1)})
    assert checksum_of(Part("x")) == checksum_of({"name": "x", "sizes": []})


def test_a_link_takes_the_place_of_what_had_the_name(tmp_path: Path) -> None:
    write_text(tmp_path / "new", "new")
    write_text(tmp_path / "sub" / "name", "old")
    for _ in range(2):
        assert link_file(tmp_path / "new", tmp_path / "sub" / "name")
        assert (tmp_path / "sub" / "name").samefile(tmp_path / "new")
        assert [path.name for path in (tmp_path / "sub").iterdir()] == ["name"]


@pytest.mark.parametrize("failing", ["link", "replace"])
def test_where_no_link_can_be_made_the_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    write_text(tmp_path / "new", "new")
    write_text(tmp_path / "name", "old")

    def fail(*paths: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, failing, fail)
    assert not link_file(tmp_path / "new", tmp_path / "name")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["name", "new"]
    assert (tmp_path / "name").read_text() == "old"
