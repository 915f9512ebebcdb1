"""Which cases are to be predicted: found in folders, files and lists, and checked before the first is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.dataset import Case, split_channel, visible_files
from autoseg.errors import AutosegError, FileError, FormatError, OptionError
from autoseg.files import read_json
from autoseg.io import FILE_ENDINGS

if TYPE_CHECKING:
    from autoseg.io import Volume

LISTS = (".txt", ".json")
SHOWN = 20


def find_inputs(sources: Sequence[Path], channel_names: Sequence[str], file_ending: str) -> tuple[Case, ...]:
    """The cases in folders, image files and lists, sorted by id.

    A folder holds CASE_0000.nii.gz, CASE_0001.nii.gz, ... with one file per channel, in the ending of the dataset or,
    where it has none of these, in any other that can be read; where no file is numbered 0000 each file is a case of its
    own. A list is a text file with a case per line and a tab between channels, or JSON: a list of files (or of lists of
    files), or an object from case id to them; paths are relative to the list. Raises FileError for what is not there
    and OptionError for two cases of one name.
    """
    cases: list[Case] = []
    for source in sources:
        if source.is_dir():
            cases += _in_folder(source, channel_names, file_ending)
        elif not source.exists():
            raise FileError(source, "does not exist.", "Give a folder, image files, or a list of them.")
        elif source.suffix in LISTS:
            cases += _in_list(source, len(channel_names))
        else:
            cases.append(Case(_case_id(source, len(channel_names)), (source,)))
    cases = _merged(cases)
    if not cases:
        raise FileError(sources[0], f"holds no images ({', '.join(FILE_ENDINGS)}).", "Give a folder with images.")
    return tuple(sorted(cases, key=lambda case: case.id))


def check_inputs(cases: Iterable[Case], channel_names: Sequence[str], output_files: Iterable[Path]) -> None:
    """Look at the header of every image, and raise FileError with all findings where any cannot be predicted.

    A case needs one file per channel, or a single file that holds all of them, all on one grid; and no output may
    overwrite an input.
    """
    cases = tuple(cases)
    outputs = {path.resolve() for path in output_files}
    findings = [finding for case in cases for finding in _findings(case, channel_names)]
    for path in (path for case in cases for path in case.images):
        if path.resolve() in outputs:
            findings.append(
                FileError(path, "would be overwritten by its own prediction. Choose another output folder.")
            )
    if findings:
        more = f"\n... and {len(findings) - SHOWN} more" if len(findings) > SHOWN else ""
        told = "\n".join(str(finding) for finding in findings[:SHOWN])
        raise FileError(findings[0].path, f"{len(findings)} input(s) cannot be predicted:\n{told}{more}")


def read_case(case: Case, channel_count: int) -> Volume:
    """The volume (C, Z, Y, X) of a case, in the files' own type where that is small, see io.read_image."""
    from autoseg.io import read_channels, read_image

    holds_all = len(case.images) == 1 and channel_count > 1
    return read_channels(case.images[0], compact=True) if holds_all else read_image(case.images, compact=True)


def _findings(case: Case, channel_names: Sequence[str]) -> list[FileError]:
    from autoseg.io import read_geometry
    from autoseg.io.storage import corner_tolerance_mm

    count, found = len(channel_names), []
    in_one_file = len(case.images) == 1 and _number(case.images[0]) is None
    if len(case.images) != count and not in_one_file:
        fact = f"the case {case.id} has {len(case.images)} image file(s), but the model takes {count} channel(s)"
        return [FileError(case.images[0], f"{fact} ({', '.join(channel_names)}).")]
    geometries = []
    for path in case.images:
        try:
            geometries.append((path, read_geometry(path)))
        except FileError as error:
            found.append(error)
        except AutosegError as error:
            found.append(FileError(path, str(error)))
    for path, geometry in geometries[1:]:
        if not geometry.matches(geometries[0][1], corner_tolerance_mm(geometry.spacing_mm)):
            found.append(FileError(path, f"lies on another grid than {geometries[0][0].name}."))
    return found


def _in_folder(folder: Path, channel_names: Sequence[str], file_ending: str) -> list[Case]:
    files = visible_files(folder, file_ending) or [path for path in visible_files(folder) if _ending(path)]
    numbered = [path for path in files if _number(path) is not None]
    if any(_number(path) == 0 for path in numbered):
        return [Case(split_channel(_stem(path))[0], (path,)) for path in numbered]
    if len(channel_names) > 1 and numbered:
        raise FileError(numbered[0], "has no channel 0000 beside it.", f"Channels: {', '.join(channel_names)}.")
    return [Case(_stem(path), (path,)) for path in files]


def _merged(cases: list[Case]) -> list[Case]:
    """Put the channel files of a case together, in the order of their numbers, which must have no gap."""
    by_id: dict[str, list[Case]] = {}
    for case in cases:
        by_id.setdefault(case.id, []).append(case)
    return [_put_together(case_id, parts) for case_id, parts in by_id.items()]


def _put_together(case_id: str, parts: list[Case]) -> Case:
    if len(parts) == 1:
        return parts[0]
    files = sorted((path for part in parts for path in part.images), key=lambda path: path.name)
    if [_number(path) for path in files] != list(range(len(files))):
        listed = ", ".join(str(path) for path in files)
        raise OptionError(f"These files do not make up one case {case_id}: {listed}.", "Rename them, or predict apart.")
    return Case(case_id, tuple(files))


def _in_list(path: Path, channel_count: int) -> list[Case]:
    entries: list[tuple[str | None, object]]
    if path.suffix == ".txt":
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        entries = [(None, line.split("\t")) for line in lines if line]
    else:
        values = read_json(path)
        if not isinstance(values, dict | list):
            raise FormatError(path, "must hold a list of image files, or an object from case id to files.")
        entries = list(values.items()) if isinstance(values, dict) else [(None, value) for value in values]
    return [_entry(case_id, files, path, channel_count) for case_id, files in entries]


def _entry(case_id: str | None, files: object, path: Path, channel_count: int) -> Case:
    files = [files] if isinstance(files, str) else files
    if not isinstance(files, list) or not files or not all(isinstance(file, str) for file in files):
        raise FormatError(path, f"must hold image files, or lists of them, not {files!r}.")
    images = tuple(path.parent / Path(file).expanduser() for file in files)
    return Case(case_id or _case_id(images[0], channel_count), images)


def _ending(path: Path) -> str | None:
    return next((ending for ending in FILE_ENDINGS if path.name.endswith(ending)), None)


def _stem(path: Path) -> str:
    return path.name.removesuffix(_ending(path) or path.suffix)


def _number(path: Path) -> int | None:
    """The channel in a name such as CASE_0001.nii.gz, if it has one."""
    return split_channel(_stem(path))[1]


def _case_id(path: Path, channel_count: int) -> str:
    """The name without its channel number; a number that the model has no channel for belongs to the name."""
    case_id, number = split_channel(_stem(path))
    return case_id if number is not None and number < channel_count else _stem(path)
