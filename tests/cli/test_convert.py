"""autoseg_convert as a user calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.cli.convert import build_parser, main
from autoseg.dataset import read_dataset
from autoseg.io import read_geometry
from autoseg.registry import resolve
from dataset_conversion import CONVERTERS

PHANTOM = ("phantom", "-d", "1", "--cases", "2", "--test-cases", "1", "--workers", "1")
FOREIGN = '''
class Mine:
    """Another one's converter."""

    summary = "my data"
    needs_source = True

    def add_arguments(self, parser):
        parser.add_argument("--size", type=int, default=1)

    def dataset_name(self, source, options):
        return f"Mine{options.size}"

    def convert(self, source, folder, options, progress):
        from dataset_conversion.phantom import write_phantom_dataset

        write_phantom_dataset(folder, cases=options.size, shape=(8, 16, 16))
'''


@pytest.mark.parametrize("source", [(), ("-",)])
def test_the_phantom_needs_no_source(
    tmp_path: Path, source: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([PHANTOM[0], *source, *PHANTOM[1:], "--root", str(tmp_path)]) == 0
    folder = tmp_path / "raw" / "Dataset001_Phantom"
    assert len(read_dataset(folder).cases) == 2
    out = capsys.readouterr().out
    assert f"Dataset001_Phantom: 2 training and 1 test cases in {folder}" in out
    assert f"next: autoseg_plan_and_preprocess -d 1 --root {tmp_path}" in out


def test_options_of_all_commands_may_stand_in_front(tmp_path: Path) -> None:
    assert main(["--root", str(tmp_path), *PHANTOM, "--name", "Heads"]) == 0
    assert (tmp_path / "raw/Dataset001_Heads/dataset.json").exists()


def test_the_root_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOSEG_ROOT", str(tmp_path))
    assert main(PHANTOM) == 0
    assert (tmp_path / "raw/Dataset001_Phantom/dataset.json").exists()


def test_an_id_is_given_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw/Dataset001_Other").mkdir(parents=True)
    assert main([*PHANTOM, "--root", str(tmp_path)]) == 2
    assert "The id 1 belongs to Dataset001_Other already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--name", "a/b"), "cannot be the name of a folder"),
        (("--workers", "0"), "--workers must be at least 1"),
        (("--cases", "0"), "Cannot draw 0 training"),
    ],
)
def test_wrong_options_are_explained(
    tmp_path: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*PHANTOM, "--root", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mds", "x", "-d", "1"), "invalid choice: 'mds' (choose from 'msd'"),
        (("msd", "-d", "1"), "SOURCE"),
        (("msd", "x", "-d", "one"), "'one' is not a whole number"),
        (("msd", "x"), "-d"),
        (("no_such_module:Mine", "x", "-d", "1"), "cannot be imported"),
    ],
)
def test_wrong_words_are_explained(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


def test_a_converter_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_site.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["my_site:Mine", str(tmp_path), "-d", "7", "--size", "3", "--root", str(tmp_path)]) == 0
    assert "Dataset007_Mine3: 3 training cases" in capsys.readouterr().out


def test_what_follows_a_converter_is_no_class_of_ones_own(tmp_path: Path) -> None:
    words = ["msd", "--merge", "tumour:liver", str(tmp_path), "-d", "3"]
    assert build_parser(words).parse_args(words).dataset == 3


def test_help_lists_the_converters_and_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom autoseg.cli.convert import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('numpy', 'torch', 'nibabel', 'SimpleITK', 'scipy', 'tqdm') if m in sys.modules])"
    )
    for arguments, words in ((("--help",), tuple(CONVERTERS)), (("msd", "--help"), ("SOURCE", "--root"))):
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
        assert all(word in done.stdout for word in words)
        assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("name", CONVERTERS)
def test_every_converter_has_what_the_command_needs(name: str) -> None:
    converter = resolve("converter", CONVERTERS, name)()
    assert isinstance(converter.summary, str)
    assert isinstance(converter.needs_source, bool)
    assert all(callable(getattr(converter, method)) for method in ("add_arguments", "dataset_name", "convert"))


def test_a_phantom_of_a_site_at_a_size_of_ones_own(tmp_path: Path) -> None:
    options = ("--site", "pelvis", "--shape", "16,24,28", "--root", str(tmp_path))
    assert main([*PHANTOM, *options]) == 0
    dataset = read_dataset(tmp_path / "raw" / "Dataset001_Phantom_pelvis")
    assert {"bladder", "femoral_head_left"} <= set(dataset.labels.names)
    assert read_geometry(dataset.cases[0].images[0]).shape == (16, 24, 28)


@pytest.mark.parametrize("shape", ["16,24", "16,24,28,1", "16,24,x", "0,24,28", "16,,24,28"])
def test_a_shape_is_three_numbers(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*PHANTOM, "--shape", shape])
    assert f"'{shape}' is not like 40,80,80" in capsys.readouterr().err
