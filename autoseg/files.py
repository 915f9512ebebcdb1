"""Writing artefacts whole or not at all, and reading back our JSON: the only place that writes an artefact."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from autoseg.errors import AutosegError, DatasetError, FileError, FormatError

T = TypeVar("T")
TEMPORARY_PREFIX = ".partial-"


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with the same ending; on success it is flushed and renamed onto `path`.

    The parent folder is made. When the body raises, the temporary file is removed and `path` is left as it was. A full
    disk or a folder that cannot be written is a FileError that names `path`.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.parent.exists():
            raise FileError(path, "its folder vanished while it was written.") from error
        raise FileError(
            path, f"cannot be written ({error.strerror or error}).", "Free space or choose another folder."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")


def _flush_folder(folder: Path) -> None:
    """Make a renaming last through a power cut, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def link_file(source: Path, path: Path) -> bool:
    """Give a file a second name without copying it, in place of what has that name.

    False where the file system cannot; the file that has the name then stays. Artefacts are replaced, never changed:
    neither name can spoil the other's file.
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        os.link(source, temporary)
        os.replace(temporary, path)
    except OSError:
        return False
    finally:
        # Renaming one name of a file onto another name of it does nothing, and leaves both.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return True


def write_text(path: Path | str, text: str) -> None:
    """Write a text file atomically, UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, values: Any) -> None:
    """Write JSON atomically. values: plain JSON values, or a frozen dataclass (see to_json)."""
    write_text(path, json.dumps(to_json(values), indent=2, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read JSON; a missing or broken file is an error that names it and the line."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise FileError(path, "does not exist.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FormatError(
            path, f"is not valid JSON ({error}).", "Restore it, or delete it and make it again."
        ) from error
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror}).") from error


def read_artefact(kind: type[T], path: Path, *, remedy: str) -> T:
    """Read the JSON of a dataclass whose field `schema` has today's version as its default.

    Raises FormatError for another version, with the remedy, and for a key that is unknown, missing or wrong.
    """
    values, wanted = read_json(path), getattr(kind, "schema")  # noqa: B009 - T is any dataclass
    found = values.get("schema") if isinstance(values, dict) else None
    if found != wanted:
        raise FormatError(path, f"schema must be {wanted}, not {found!r}.", remedy)
    return from_json(kind, values, path)


def case_file(folder: Path, case_id: str, ending: str) -> Path:
    """FOLDER/CASE.ending; DatasetError for an id that would lead elsewhere."""
    if Path(case_id).name != case_id or case_id[:1] in ("", "."):
        raise DatasetError(f"The case id {case_id!r} cannot be a file name.", "Rename the case.")
    return folder / f"{case_id}{ending}"


def checksum(path: Path | str) -> str:
    """The SHA-256 of a file's content, 64 hex digits."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror}).") from error
    return digest.hexdigest()


def checksum_of(values: Any) -> str:
    """The SHA-256 of a value's canonical JSON: equal values have equal checksums."""
    text = json.dumps(to_json(values), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def remove_partial_files(folder: Path) -> None:
    """Delete what killed commands left behind; finished artefacts never carry the prefix.

    What a command that still runs is writing (its process id is in the name) stays.
    """
    for path in folder.rglob(f"{TEMPORARY_PREFIX}*"):
        if not _is_running(path.name.removeprefix(TEMPORARY_PREFIX).partition("-")[0]):
            path.unlink(missing_ok=True)


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def to_json(value: Any) -> Any:
    """Turn (nested) dataclasses, tuples, paths and numpy scalars into plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    return value


def from_json(kind: type[T], values: Any, path: Path | str) -> T:
    """Build a frozen dataclass out of JSON by its type hints; the inverse of to_json.

    Knows int, float, str, bool, None, Any, tuple[X, ...], tuple[X, Y], dict[str, X], X | None and nested dataclasses.
    Raises FormatError naming the file and the key for an unknown or missing key or a value of another type. Fields with
    a default may be missing.
    """
    return typing.cast(T, _parse(kind, values, Path(path), kind.__name__))


def _parse(hint: Any, value: Any, path: Path, where: str) -> Any:
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        return _parse_union(hint, value, path, where)
    if dataclasses.is_dataclass(hint):
        return _parse_dataclass(hint, value, path, where)
    if origin is tuple:
        return _parse_tuple(hint, value, path, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(path, where, "an object", value)
        item = typing.get_args(hint)[1]
        return {key: _parse(item, entry, path, f"{where}.{key}") for key, entry in value.items()}
    return _parse_scalar(hint, value, path, where)


def _parse_union(hint: Any, value: Any, path: Path, where: str) -> Any:
    choices = typing.get_args(hint)
    if value is None and type(None) in choices:
        return None
    errors = []
    for choice in choices:
        if choice is type(None):
            continue
        try:
            return _parse(choice, value, path, where)
        except FormatError as error:
            errors.append(error)
    raise errors[0]


def _parse_dataclass(hint: Any, value: Any, path: Path, where: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(path, where, "an object", value)
    fields = {field.name: field for field in dataclasses.fields(hint)}
    unknown = sorted(set(value) - set(fields))
    missing = [
        name
        for name, field in fields.items()
        if name not in value and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if unknown or missing:
        what = f"unknown key {unknown[0]!r}" if unknown else f"missing key {missing[0]!r}"
        raise FormatError(
            path, f"{what} in {where}.", "The file was made by another version, or edited: make it again."
        )
    hints = typing.get_type_hints(hint)
    parsed = {name: _parse(hints[name], entry, path, f"{where}.{name}") for name, entry in value.items()}
    try:
        return hint(**parsed)
    except AutosegError as error:
        raise FormatError(path, f"{where}: {error.fact}", error.remedy) from error


def _parse_tuple(hint: Any, value: Any, path: Path, where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise _wrong(path, where, "a list", value)
    items = typing.get_args(hint)
    if len(items) == 2 and items[1] is Ellipsis:
        items = (items[0],) * len(value)
    if len(items) != len(value):
        raise _wrong(path, where, f"a list of {len(items)}", value)
    return tuple(
        _parse(item, entry, path, f"{where}[{i}]") for i, (item, entry) in enumerate(zip(items, value, strict=True))
    )


def _parse_scalar(hint: Any, value: Any, path: Path, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise _wrong(path, where, hint.__name__, value)
    return value


def _wrong(path: Path, where: str, expected: str, value: Any) -> FormatError:
    return FormatError(path, f"{where} must be {expected}, not {value!r}.")
