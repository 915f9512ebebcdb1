"""The two commands that the README promises, and the CI that runs them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTALL_AND_DEMO = 'python -m pip install -c constraints.txt -e ".[cpu]" && autoseg_demo'
INSTALL_AND_TEST = 'python -m pip install -c constraints.txt -e ".[test]" && python -m pytest'


def test_the_readme_has_exactly_the_two_commands() -> None:
    commands = re.findall(r"^\s*(?:\$ )?(python -m pip install .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands == [INSTALL_AND_DEMO, INSTALL_AND_TEST]


def test_ci_runs_the_second_and_fails_with_it() -> None:
    assert f"{INSTALL_AND_TEST} || exit 1" in (ROOT / ".ci" / "run").read_text().splitlines()


def test_ci_is_a_script_that_bash_understands() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)
