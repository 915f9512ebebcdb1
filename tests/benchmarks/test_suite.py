"""Which benchmarks run, and what happens when one fails or the suite is stopped."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from autoseg.errors import OptionError
from comparison import network, prediction, suite
from comparison.bench import Bench, LeftOut, Measured, in_turn
from comparison.environment import REPOSITORY
from comparison.export import EXPORTS, agreement_percent
from comparison.installation import OUR_REQUIREMENTS
from comparison.prediction import Run, split_times
from comparison.processes import ChildError, Usage
from comparison.records import Line, Results, read_results
from comparison.table import BEGIN, END
from comparison.time_to_dice import WAYS, Training, best_way


def measured(bench: Bench, results: Results) -> Measured:
    return Measured((Line("k", "quick thing", "s", (4.0,), (2.0,)),))


def failing(bench: Bench, results: Results) -> Measured:
    raise ChildError("no memory")


def interrupted(bench: Bench, results: Results) -> Measured:
    raise KeyboardInterrupt


def run(cache: Path, monkeypatch: pytest.MonkeyPatch, *words: str, **benchmarks: suite.Benchmark) -> int:
    monkeypatch.setattr(suite, "BENCHMARKS", benchmarks)
    monkeypatch.setattr(Bench, "peer", None)
    return suite.main(["--cache", str(cache), "--only", *benchmarks, *words])


def test_a_letter_stands_for_all_that_begin_with_it() -> None:
    assert list(suite.chosen(["a", "e1"], [2, 10])) == ["a1", "a2", "e1"]
    assert list(suite.chosen(["c"], [10, 2])) == ["c2", "c10"]
    assert list(suite.chosen(["c5"], [2, 10])) == ["c5"]
    assert {"a1", "b1", "c2", "c10", "d1", "e7", "f2"} <= set(suite.chosen([], [2, 10]))


@pytest.mark.parametrize("word", ["z", "a9", "c0", "cx"])
def test_a_benchmark_that_does_not_exist_is_explained(word: str) -> None:
    with pytest.raises(OptionError, match=f"no benchmark {word}"):
        suite.chosen([word], [2])


def test_what_is_finished_is_kept_when_the_next_one_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(tmp_path, monkeypatch, a1=measured, a2=interrupted) == 130
    assert list(read_results(tmp_path / "full" / "results.json").finished) == ["a1"]
    assert run(tmp_path, monkeypatch, a1=interrupted, a2=measured) == 0
    assert list(read_results(tmp_path / "full" / "results.json").finished) == ["a1", "a2"]
    assert run(tmp_path, monkeypatch, "--restart", a1=interrupted) == 130


@pytest.mark.parametrize(("key", "words"), [("e2", ["--long"]), ("b1", ["--repeats", "2"])])
def test_what_was_measured_with_other_options_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, words: list[str]
) -> None:
    assert run(tmp_path, monkeypatch, **{key: measured}) == 0
    assert run(tmp_path, monkeypatch, **{key: interrupted}) == 0
    assert run(tmp_path, monkeypatch, *words, **{key: interrupted}) == 130


def test_what_is_installed_is_what_the_readme_installs() -> None:
    command = f'python -m pip install -c constraints.txt {OUR_REQUIREMENTS[0]} "{OUR_REQUIREMENTS[1]}"'
    assert f"{command} && autoseg_demo" in (REPOSITORY / "README.md").read_text()


def test_no_target_is_met_by_int8_that_nobody_looked_at() -> None:
    runs = [Run(1.0, 1.0, 1.0, 1.0)]
    assert prediction._lines("k", "w", runs, runs, prediction.FASTER)[0].target == prediction.FASTER
    assert prediction._lines("k.int8", "w", runs, runs, note="n")[0].target is None
    seconds = [{"8x8x8": {"engine": "torch in fp32", "usual": [1.0], "int8": [0.5]}}]
    assert network._line("8x8x8", "usual", [{"8x8x8": 9.0}], seconds).met
    assert network._line("8x8x8", "int8", [{"8x8x8": 9.0}], seconds).target is None


def test_the_peers_best_way_is_the_one_that_reached_most() -> None:
    reached = dict(zip(WAYS, (0.1, 0.6, 0.5, 0.2), strict=True))
    trials: dict = {way: Training(Path(), [(1.0, 0.9), (2.0, dice)], 7) for way, dice in reached.items()}
    assert best_way(trials) == WAYS[1]
    assert best_way({**trials, WAYS[1]: None}) == WAYS[2]
    with pytest.raises(ChildError, match="trained in no way"):
        best_way(dict.fromkeys(WAYS))


def test_one_that_fails_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, monkeypatch, a1=failing, a2=measured) == 1
    told = capsys.readouterr()
    assert "a1: FAILED: no memory" in told.err
    assert "quick thing" in told.out


def test_one_that_cannot_be_run_here_is_one_line_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere(bench: Bench, results: Results) -> Measured:
        raise LeftOut("there is no such thing here.")

    assert run(tmp_path, monkeypatch, a1=measured, g1=nowhere) == 0
    told = capsys.readouterr().out
    assert "g1: left out: there is no such thing here.\n" in told
    assert list(read_results(tmp_path / "full" / "results.json").finished) == ["a1"]


def test_a_cache_in_the_repository_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert suite.main(["--cache", str(REPOSITORY / "cache")]) == 2
    assert "lies in the repository" in capsys.readouterr().err


def test_a_quick_run_is_not_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, monkeypatch, "--quick", "--document", a1=measured) == 2
    assert "no figures to document" in capsys.readouterr().err


def test_the_parser_shows_every_benchmark() -> None:
    text = suite.make_parser().format_help()
    assert isinstance(suite.make_parser(), argparse.ArgumentParser)
    assert all(key in text for key in ("a1", "a2", "b1", "cN", "d1", "e1-e6", "e7", "f1", "f2", "g1"))


def test_the_two_sides_take_turns() -> None:
    order: list[str] = []
    theirs, mine = in_turn(lambda: order.append("A") or len(order), lambda: order.append("B") or len(order), 3)  # type: ignore[func-returns-value]
    assert "".join(order) == "ABABAB"
    assert (theirs, mine) == ([1, 3, 5], [2, 4, 6])


def test_a_first_result_that_is_known_is_not_measured_again() -> None:
    theirs, mine = in_turn(lambda: "again", lambda: "own", 2, first="known")
    assert (theirs, mine) == (["known", "again"], ["own", "own"])


def test_start_up_is_what_the_first_case_took_longer() -> None:
    found = split_times(Usage(20.0, 30.0, 5, started=100.0), [108.0, 110.0, 112.0])
    assert (found.per_case, found.startup) == (2.0, 6.0)
    assert split_times(Usage(20.0, 30.0, 5, started=100.0), [108.0]).per_case == 0.0


def test_agreement_counts_equal_voxels(tmp_path: Path) -> None:
    import numpy as np

    one = np.zeros((4, 5, 5), np.int16)
    other = one.copy()
    other[1, 2, 3] = 7
    for name, array in (("one", one), ("other", other), ("small", one[:2])):
        np.save(tmp_path / f"{name}.npy", array)
    assert agreement_percent(tmp_path / "one.npy", tmp_path / "other.npy") == 99.0
    assert agreement_percent(tmp_path / "one.npy", tmp_path / "small.npy") == 0.0


def test_the_peers_memory_grows_with_the_classes() -> None:
    """117 classes at 512x512x800 in float16: 118 x 209.7e6 voxels x 2 bytes = 49.5e9, and some more."""
    longest = EXPORTS[-1]
    assert (longest.classes, longest.shape) == (117, (800, 512, 512))
    assert 49.5e9 < longest.peer_bytes(2) < 60e9


def test_table_and_curves_go_into_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "explanation" / "performance.md"
    page.parent.mkdir()
    page.write_text(f"{BEGIN}\n{END}\n")
    monkeypatch.setattr(suite, "PAGE", page)
    assert run(tmp_path, monkeypatch, a1=measured, c2=measured) == 0
    (tmp_path / "full" / "time_to_dice_2.png").write_bytes(b"a picture")
    assert run(tmp_path, monkeypatch, "--show", "--document", a1=interrupted) == 0
    assert "| quick thing | 4 s | 2 s | 2 |" in page.read_text()
    assert "(time_to_dice_2.png)" in page.read_text()
    assert (page.parent / "time_to_dice_2.png").read_bytes() == b"a picture"
