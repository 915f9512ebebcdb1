"""What every command shares: options that all have, and errors shown as sentences instead of tracebacks."""

from __future__ import annotations

import argparse
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence

from autoseg.errors import AutosegError, ResourceError
from autoseg.memory import is_out_of_memory

OUR_PACKAGES = ("autoseg", "planners", "trainers", "dataset_conversion")
OUT_OF_MEMORY_REMEDY = (
    "What was finished is kept. Plan a smaller --patch-size, --batch-size or --memory, or end other programs."
)
Command = Callable[[argparse.Namespace], int]


def parser(description: str, epilog: str = "") -> argparse.ArgumentParser:
    """A parser with --root and --debug."""
    made = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--root", help="folder with raw, prepared and results (else AUTOSEG_ROOT, else ~/autoseg)")
    made.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return made


def run(command: Command, arguments: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Parse, run, and turn the user's errors into a message on stderr and exit code 2, an interrupt into 130."""
    options = arguments.parse_args(argv)
    _share_cores()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.debug:
        for package in OUR_PACKAGES:
            logging.getLogger(package).setLevel(logging.DEBUG)
    try:
        return command(options)
    except AutosegError as error:
        if options.debug:
            raise
        return _tell(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (MemoryError, OSError, RuntimeError) as error:
        if options.debug or not is_out_of_memory(error):
            raise
        return _tell(ResourceError("The memory of this machine was not enough.", OUT_OF_MEMORY_REMEDY))
    except KeyboardInterrupt:
        again = "the same command without --restart" if getattr(options, "restart", False) else "the same command again"
        print(f"interrupted; run {again} to continue.", file=sys.stderr)
        return 130


def _tell(error: AutosegError) -> int:
    print(f"error: {error.fact}", file=sys.stderr)
    if error.remedy:
        print(f"       {error.remedy}", file=sys.stderr)
    return 2


def _share_cores() -> None:
    from autoseg.runtime.threads import wait_politely

    wait_politely()


def further(options: argparse.Namespace) -> str:
    """What the next command needs, as text to append: the root and the plans that this one was given."""
    plans = getattr(options, "plans_name", "plans")
    parts = [f" --root {shlex.quote(options.root)}"] if options.root else []
    return "".join([*parts, f" --plans-name {plans}" if plans != "plans" else ""])


def seconds(text: str) -> float:
    """Parse a duration: 90s, 10m, 1.5h. Without its unit 2 could be hours or seconds, so that it is refused."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    if not match or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 90s, 10m or 1.5h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def size_in_bytes(text: str) -> int:
    """Parse a size: 8G, 500M, 1.5G (powers of 1024)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if not match or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 8G or 500M")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def whole_numbers(text: str) -> tuple[int, ...]:
    """Parse whole numbers separated by commas: 40,56,40."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 40,56,40") from error


def numbers(text: str) -> tuple[float, ...]:
    """Parse numbers separated by commas: 1,0.8,0.8."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 1,0.8,0.8") from error
