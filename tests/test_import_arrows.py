"""Which way imports point: no module imports from a row below its own, and no row goes in circles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each row may import the rows before it. A part is a file or a package directly below autoseg. Postprocessing stands
# beside inference, which applies its rules to what it predicts.
ROWS = [
    {"errors", "geometry", "files", "memory", "registry", "durations"},
    {"io", "workspace", "parallel"},
    {
        "labels",
        "dataset",
        "plans",
        "fingerprint",
        "measuring",
        "intensities",
        "symmetry",
        "cropping",
        "air",
        "locating",
    },
    {"checking", "preprocessing", "networks", "losses", "runtime"},
    {"data", "inference", "evaluation", "postprocessing"},
    {"training", "detection", "compression", "exporting"},
    {"cli"},
]
HEIGHT = {part: height for height, row in enumerate(ROWS) for part in row}

# They stand on autoseg and not on each other; the commands stand on everything.
OUTSIDE = ("planners", "trainers", "dataset_conversion")
HEAVY = {"torch", "numpy", "SimpleITK", "nibabel", "scipy", "batchgenerators", "sklearn", "matplotlib", "tqdm"}


def modules() -> dict[str, Path]:
    """Every module of the project, by its dotted name."""
    found = {}
    for top in ("autoseg", *OUTSIDE):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(module: str, *, top_level_only: bool = False) -> Iterator[str]:
    """The dotted names that a module imports, also inside functions and for type checking only."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            source = ".".join(filter(None, (start, node.module)))
            yield from (f"{source}.{alias.name}" for alias in node.names)


def part_of(name: str) -> str | None:
    """The part of autoseg that a dotted name belongs to; None outside autoseg and for the package itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "autoseg" and len(parts) > 1 else None


def backward(module: str) -> list[str]:
    """What a module imports although it stands in a row below."""
    own = part_of(module)
    if own == "cli":
        return []
    found = []
    for name in imports(module):
        top, part = name.split(".")[0], part_of(name)
        if module.split(".")[0] == "autoseg":
            points_back = top in OUTSIDE or (own is not None and part in HEIGHT and HEIGHT[part] > HEIGHT[own])
        else:
            points_back = part == "cli" or (top in OUTSIDE and top != module.split(".")[0])
        if points_back:
            found.append(name)
    return found


@pytest.mark.parametrize("module", [name for name in MODULES if part_of(name)])
def test_every_part_has_a_row(module: str) -> None:
    assert part_of(module) in HEIGHT, f"say in ROWS where autoseg.{part_of(module)} belongs"


@pytest.mark.parametrize("module", MODULES)
def test_no_arrow_points_back(module: str) -> None:
    assert backward(module) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(sorted(row)))
def test_a_row_does_not_go_in_circles(row: set[str]) -> None:
    graph: dict[str, set[str]] = {part: set() for part in row}
    for module in MODULES:
        own = part_of(module)
        if own in row:
            graph[own] |= {part for part in map(part_of, imports(module)) if part in row and part != own}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"parts import each other: {error.args[1]}")


@pytest.mark.parametrize("module", [name for name in MODULES if part_of(name) == "cli"])
def test_commands_import_nothing_heavy_at_the_top(module: str) -> None:
    assert {name.split(".")[0] for name in imports(module, top_level_only=True)} & HEAVY == set()


def test_the_arrows_are_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The test of the test: a module with arrows of every kind."""
    path = tmp_path / "geometry.py"
    path.write_text(
        "from autoseg.errors import AutosegError\n"
        "import autoseg.training.loop\n"
        "from autoseg import data\n"
        "from .networks import unet\n"
        "def late():\n    import trainers.default\n"
    )
    monkeypatch.setitem(MODULES, "autoseg.geometry", path)
    expected = ["autoseg.training.loop", "autoseg.data", "autoseg.networks.unet", "trainers.default"]
    assert sorted(backward("autoseg.geometry")) == sorted(expected)
    monkeypatch.setitem(MODULES, "planners.default", path)
    assert backward("planners.default") == ["trainers.default"]
