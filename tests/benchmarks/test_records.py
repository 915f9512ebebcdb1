"""Statistics of lines, and results that outlive a killed run."""

import json
from pathlib import Path

import pytest

from comparison.records import (
    Finished,
    Line,
    Results,
    RunIdentity,
    Target,
    continue_results,
    read_results,
    write_results,
)

IDENTITY = RunIdentity("abc123", "nnunetv2 2.8.1", "a machine", False)


def line(peer: tuple[float, ...], ours: tuple[float, ...], target: Target | None = None, **named: bool) -> Line:
    return Line("k", "what", "s", peer, ours, target, **named)


def finished(found: Line) -> Finished:
    return Finished("2026-01-01T00:00+00:00", 1.0, 0.0, (found,), ("a command",), {"n_proc_DA": 2})


def test_the_ratio_is_the_median_of_the_pairs_and_not_the_ratio_of_medians() -> None:
    found = line((10.0, 12.0, 90.0), (5.0, 1.0, 9.0))
    assert found.ratios == (2.0, 12.0, 10.0)
    assert found.ratio == 10.0
    assert (found.peer_median, found.ours_median) == (12.0, 5.0)


def test_what_was_not_measured_has_no_ratio_and_meets_nothing() -> None:
    found = line((), (2.0,), Target("ratio", 8))
    assert found.ratio is None
    assert found.met is None


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target("ratio", 4.0), True),
        (Target("ratio", 4.1), False),
        (Target("at most", 2.0), True),
        (Target("at most", 1.9), False),
        (Target("at least", 2.0), True),
        (Target("at least", 2.1), False),
    ],
)
def test_a_target_is_met_on_its_border(target: Target, met: bool) -> None:
    assert line((8.0,), (2.0,), target).met is met


def test_quantities_of_which_more_is_better_have_no_ratio() -> None:
    assert line((0.1,), (0.8,), has_ratio=False).ratio is None


def test_another_kind_of_target_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind of target"):
        Target("about", 1.0)


def test_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    results = Results(IDENTITY).with_finished("a1", finished(line((1.0, 2.0), (0.5,), Target("ratio", 8))))
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results
    assert continue_results(tmp_path / "results.json", IDENTITY) == results


def test_results_of_another_commit_are_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    for commit in ("old", "older"):
        write_results(path, Results(RunIdentity(commit, "peer", "machine", False)))
        assert continue_results(path, IDENTITY) == Results(IDENTITY)
    kept = [json.loads((tmp_path / f"results_before_{n}.json").read_text())["identity"]["autoseg"] for n in (1, 2)]
    assert kept == ["old", "older"]


def test_a_broken_file_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("{")
    assert continue_results(path, IDENTITY) == Results(IDENTITY)
    assert (tmp_path / "results_before_1.json").read_text() == "{"


def test_a_benchmark_uses_what_an_earlier_one_found() -> None:
    results = Results(IDENTITY).with_finished("b1", finished(line((1.0,), (1.0,))))
    assert results.detail("b1", "n_proc_DA", 1) == 2
    assert results.detail("c2", "n_proc_DA", 1) == 1
