"""Every command explains itself at once: it answers --help without loading anything heavy."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ["torch", "numpy", "nibabel", "SimpleITK", "scipy", "batchgenerators", "sklearn", "matplotlib", "tqdm"]
ASK_FOR_HELP = """
import importlib, json, sys
main = importlib.import_module(sys.argv[1]).main
try:
    main(["--help"])
except SystemExit:
    pass
print(json.dumps(sorted(set(sys.argv[2:]) & set(sys.modules))))
"""


def commands() -> list[str]:
    """The names in setup.py's COMMANDS."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["COMMANDS"]:
            return list(ast.literal_eval(node.value))
    raise AssertionError("setup.py names no COMMANDS")


@pytest.mark.parametrize("name", commands())
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main = importlib.import_module(f"autoseg.cli.{name}").main
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage:")
    assert "--root" in text
    assert "--debug" in text


@pytest.mark.parametrize("name", commands())
def test_asking_for_help_loads_nothing_heavy(name: str) -> None:
    """What makes it answer in a fraction of a second, as a fact that does not depend on the machine."""
    command = [sys.executable, "-c", ASK_FOR_HELP, f"autoseg.cli.{name}", *HEAVY]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_every_command_has_its_script() -> None:
    text = (ROOT / "setup.py").read_text()
    assert 'f"autoseg_{name}=autoseg.cli.{name}:main" for name in COMMANDS' in text
    assert {"convert", "plan_and_preprocess", "train", "predict", "evaluate", "demo"} <= set(commands())
