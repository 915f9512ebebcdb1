"""Asking a process of its own: where it crashes or hangs, this one goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from autoseg.errors import AutosegError
from autoseg.files import from_json, to_json

T = TypeVar("T")
CRASHES = ("SIGFPE", "SIGILL", "SIGSEGV")
"""By which code ends that is wrong for this machine; by others, such as SIGKILL, it is ended."""


class ChildError(Exception):
    """Why a child process gave no answer, as part of a sentence.

    passing: whether it may give one another time, which it will not where its code is at fault.
    """

    def __init__(self, reason: str, *, passing: bool = True) -> None:
        super().__init__(reason)
        self.passing = passing


def answer_of(command: Sequence[str], request: Any, kind: type[T], *, timeout_seconds: float, talks: bool = False) -> T:
    """What a child process says to a request.

    command: a program, or the arguments of this Python; it reads the request, a dataclass, as JSON on standard input
    and writes the answer as JSON on the last line of standard output. Raises ChildError where it does not. talks: what
    it writes on standard error is shown as it comes; else only the last line is told, where it fails.
    """
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    try:
        child = subprocess.run(
            [sys.executable, *command] if command[0].startswith("-") else command,
            input=json.dumps(to_json(request)),
            stdout=subprocess.PIPE,
            stderr=None if talks else subprocess.PIPE,
            text=True,
            timeout=timeout_seconds,
            env={**os.environ, "PYTHONPATH": path},
            check=True,
        )
        return from_json(kind, json.loads(child.stdout.rstrip().rpartition("\n")[2]), "a child process")
    except subprocess.TimeoutExpired as error:
        raise ChildError(f"no answer within {timeout_seconds:g} s") from error
    except subprocess.CalledProcessError as error:
        raise _end_of(error) from error
    except (OSError, json.JSONDecodeError, AutosegError) as error:
        raise ChildError(f"no usable answer ({error})") from error


def _end_of(error: subprocess.CalledProcessError) -> ChildError:
    if error.returncode < 0:
        name = signal.Signals(-error.returncode).name
        return ChildError(f"its process died of {name}", passing=name not in CRASHES)
    lines = (error.stderr or "").strip().splitlines()
    return ChildError(
        f"its process failed: {lines[-1]}" if lines else f"its process ended with code {error.returncode}"
    )
