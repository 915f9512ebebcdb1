"""The command line of the suite: which benchmarks run, and what happens to their results."""

from __future__ import annotations

import argparse
import datetime
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from autoseg.errors import AutosegError, OptionError
from comparison import export, gpu, installation, network, prediction, preparation, time_to_dice, training_step
from comparison.bench import Bench, LeftOut, Measured
from comparison.environment import PEER, REPOSITORY
from comparison.processes import ChildError
from comparison.records import Finished, Results, RunIdentity, continue_results, read_results, write_results
from comparison.table import markdown_table, rewrite_page, text_table

PAGE = REPOSITORY / "documentation" / "explanation" / "performance.md"
THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables that slow down one side or both: told where they are set."""
IDLE_SECONDS = 2.0
"""For which the machine is watched before each benchmark."""
Benchmark = Callable[[Bench, Results], Measured]
BENCHMARKS: dict[str, Benchmark] = {
    "a1": preparation.small_cases,
    "a2": preparation.large_cases,
    "b1": training_step.training_step,
    "d1": prediction.prediction,
    "d2": network.network_alone,
    **{case.key: partial(export.export, case=case) for case in export.EXPORTS},
    "e7": export.whole_prediction,
    "f1": installation.installation,
    "f2": installation.start_up,
    "g1": gpu.gpu,
}
WITHOUT_PEER = ("g1",)
EPILOG = """benchmarks:
  a1 prepare Hippocampus         a2 prepare volumes as large as CTs      b1 a training iteration
  cN Dice after N minutes        d1 prediction per case                  d2 the network alone
  e1-e6 export of 8, 61, 117 classes
  e7 memory of a whole prediction of 117 classes                         f1 installation    f2 --help and import
  g1 achieved and peak TFLOP/s of a GPU, where there is one

examples:
  python tests/benchmarks/run.py                        everything, about two hours
  python tests/benchmarks/run.py --only a b e1 f2       some; a letter stands for all that begin with it
  python tests/benchmarks/run.py --only c --minutes 30
  python tests/benchmarks/run.py --show --document      what the last run found, into the documentation

What is finished is kept: the same command goes on where it was stopped, --restart begins anew."""


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description="Compare autoseg with nnU-Net on this machine, which should be idle otherwise.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", default=(), metavar="KEY", help="which benchmarks (default: all)")
    parser.add_argument(
        "--minutes", nargs="+", type=int, default=[2, 10, 30], metavar="N", help="of c (default: 2 10 30)"
    )
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="pairs of what is short (default: 3)")
    parser.add_argument("--quick", action="store_true", help="tiny data: shows that everything runs, measures nothing")
    parser.add_argument("--long", action="store_true", help="also run the peer where one export takes many minutes")
    parser.add_argument("--restart", action="store_true", help="measure finished benchmarks again")
    parser.add_argument("--show", action="store_true", help="run nothing, show the results that are there")
    parser.add_argument(
        "--document", action="store_true", help="write the results into documentation/explanation/performance.md"
    )
    parser.add_argument("--data", type=Path, help="folder of real volumes (default: AUTOSEG_TEST_DATA)")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("~/.cache/autoseg/benchmarks"),
        help="for nnU-Net's environment, data and results, some 10 GB (default: ~/.cache/autoseg/benchmarks)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked for; 0, or 1 where a benchmark failed, or 2 for wrong options."""
    arguments = make_parser().parse_args(argv)
    try:
        bench = _bench(arguments)
        if arguments.show:
            results, failed = read_results(bench.results_file), False
        else:
            results, failed = _run_all(bench, arguments)
        print(f"\n{text_table(results)}\nresults: {bench.results_file}")
        if arguments.document:
            _document(bench, results)
    except AutosegError as error:
        print(f"error: {error.fact}\n       {error.remedy}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on after what is finished.", file=sys.stderr)
        return 130
    return int(failed)


def _bench(arguments: argparse.Namespace) -> Bench:
    if arguments.repeats < 1 or min(arguments.minutes) < 1:
        raise OptionError("--repeats and --minutes must be at least 1.")
    cache = arguments.cache.expanduser().absolute()
    if cache.is_relative_to(REPOSITORY):
        raise OptionError(f"The cache {cache} lies in the repository.", "Give --cache another folder.")
    data = arguments.data or (Path(os.environ["AUTOSEG_TEST_DATA"]) if os.environ.get("AUTOSEG_TEST_DATA") else None)
    repeats = 1 if arguments.quick else arguments.repeats
    data = data.expanduser().absolute() if data else None
    return Bench(cache, data, arguments.quick, repeats, arguments.long)


def _run_all(bench: Bench, arguments: argparse.Namespace) -> tuple[Results, bool]:
    """Run what is not finished; each is saved as soon as it is. A failed one is told and left out."""
    benchmarks = chosen(arguments.only, arguments.minutes)
    results, failed = continue_results(bench.results_file, _identity(bench)), False
    for key, benchmark in benchmarks.items():
        options = deciding_options(key, bench)
        if key in results.finished and results.finished[key].options == options and not arguments.restart:
            print(f"{key}: finished on {results.finished[key].date}")
            continue
        print(f"{key}: running ...", flush=True)
        try:
            found = replace(_finish(key, benchmark, bench, results), options=options)
            results = results.with_finished(key, found)
        except LeftOut as reason:
            print(f"{key}: left out: {reason}")
            continue
        except (ChildError, AutosegError) as error:
            print(f"{key}: FAILED: {error}", file=sys.stderr)
            failed = True
            continue
        write_results(bench.results_file, results)
        print(f"{key}: {results.finished[key].seconds:.0f} s", flush=True)
    return results, failed


def chosen(only: Sequence[str], minutes: Sequence[int]) -> dict[str, Benchmark]:
    """The benchmarks by key, in the order of the table; OptionError for a key that names none.

    only: keys, or letters for all that begin with them; empty for all. A key such as c5 asks for its minutes itself.
    """
    asked = {int(found[1]) for word in only if (found := re.fullmatch(r"c([1-9]\d*)", word))}
    known = {f"c{n}": partial(time_to_dice.time_to_dice, minutes=n) for n in {*minutes, *asked}} | BENCHMARKS
    unknown = [word for word in only if not any(key == word or key[0] == word for key in known)]
    if unknown:
        raise OptionError(f"There is no benchmark {unknown[0]}.", f"Known: {', '.join(sorted(known))}.")
    keys = [key for key in known if not only or key in only or key[0] in only]
    return {key: known[key] for key in sorted(keys, key=lambda key: (key[0], int(key[1:])))}


def deciding_options(key: str, bench: Bench) -> dict[str, Any]:
    """The options of the command that decide what a benchmark measures: with others it is measured again."""
    if key[0] in "ce":
        return {"long": bench.long} if key[0] == "e" else {}
    return {"repeats": bench.repeats}


def _finish(key: str, benchmark: Benchmark, bench: Bench, results: Results) -> Finished:
    load, began = _busy_cores(), time.perf_counter()
    if key not in WITHOUT_PEER:
        bench.peer  # noqa: B018 - installed before the clock runs
    measured = benchmark(bench, results)
    date = datetime.datetime.now().astimezone().isoformat(timespec="minutes")
    seconds = time.perf_counter() - began
    return Finished(date, seconds, load, measured.lines, measured.commands, measured.details or {})


def _busy_cores() -> float:
    """How many cores others keep busy. The load average would count the benchmark before."""
    import psutil

    return float(psutil.cpu_percent(IDLE_SECONDS) / 100 * (psutil.cpu_count() or 1))


def _identity(bench: Bench) -> RunIdentity:
    import psutil
    import torch

    from autoseg.runtime.cache import processor_generation, processor_name

    memory = psutil.virtual_memory().total / 1024**3
    machine = f"{processor_name()} ({processor_generation()}), {bench.cores} cores, {memory:.0f} GiB"
    machine += f", Python {sys.version.split()[0]}"
    limits = "".join(f", {name}={os.environ[name]}" for name in THREAD_LIMITS if name in os.environ)
    machine += f", torch {torch.__version__}{limits}"
    return RunIdentity(_commit(), PEER.replace("==", " "), machine, bench.quick)


def _commit() -> str:
    """The commit that is measured, marked where files differ from it."""
    words = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--exclude", "*"]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "without git"


def _document(bench: Bench, results: Results) -> None:
    """The table, and below it the curves, into the page."""
    if bench.quick:
        raise OptionError("A quick run has no figures to document.", "Leave out --quick.")
    pictures = [bench.root / f"time_to_dice_{key[1:]}.png" for key in results.finished if key[0] == "c"]
    shown = ""
    for picture in sorted(pictures):
        shutil.copyfile(picture, PAGE.parent / picture.name)
        shown += f"\n![Dice on validation patches over minutes]({picture.name})\n"
    rewrite_page(PAGE, markdown_table(results) + shown)
    print(f"documented: {PAGE}")
