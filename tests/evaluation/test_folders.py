"""Folders of predictions against folders of references."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from autoseg.errors import FileError, GeometryError, OptionError
from autoseg.evaluation import EvaluationOptions, evaluate_folders
from autoseg.files import write_json

if TYPE_CHECKING:
    from tests.evaluation.conftest import Folders

Block = Callable[..., np.ndarray]


def test_scores_of_every_case_and_class(folders: Folders, block: Block) -> None:
    folders.describe()
    folders.add("a", block(5), block(5))
    folders.add("b", block(5), block(3))
    report = evaluate_folders(folders.out, folders.labels)
    assert report.summary.cases["b"]["liver"].dice == pytest.approx(2 * 2 / (4 + 2))
    assert report.summary.classes["liver"].means["dice"].mean == pytest.approx((1 + 2 / 3) / 2)
    assert report.summary.classes["tumour"].both_empty == 2


def test_the_report_is_the_same_for_any_number_of_workers(folders: Folders, block: Block) -> None:
    folders.describe()
    for number in range(5):
        folders.add(f"case{number}", block(3 + number), block(6))
    reports = [evaluate_folders(folders.out, folders.labels, EvaluationOptions(workers=n)) for n in (1, 3)]
    assert reports[0] == reports[1]


def test_without_dataset_json_values_are_names(folders: Folders, block: Block) -> None:
    folders.add("a", block(5, 7), block(5, 2))
    report = evaluate_folders(folders.out, folders.labels)
    assert list(report.summary.classes) == ["2", "7"]
    assert report.dataset_json is None


def test_a_dataset_json_beside_the_predictions_is_found(folders: Folders, block: Block) -> None:
    write_json(folders.out / "dataset.json", {"labels": {"0": "background", "1": "kidney"}})
    folders.add("a", block(5), block(5))
    assert list(evaluate_folders(folders.out, folders.labels).summary.classes) == ["kidney"]


def test_organs_that_were_not_contoured_are_left_out(folders: Folders, block: Block) -> None:
    folders.describe(not_contoured={"a": ["tumour"]})
    folders.add("a", block(5, 2), block(5, 1))
    folders.add("b", block(5, 2), block(5, 2))
    report = evaluate_folders(folders.out, folders.labels)
    assert list(report.summary.cases["a"]) == ["liver"]
    assert report.summary.classes["tumour"].cases == 1


def test_missing_predictions_are_an_error_that_lists_them(folders: Folders, block: Block) -> None:
    folders.describe()
    folders.add("a", block(5), block(5))
    folders.add("b", None, block(5))
    with pytest.raises(FileError, match=r"out: lacks 1 of 2 cases: b\..*--allow-missing"):
        evaluate_folders(folders.out, folders.labels)
    report = evaluate_folders(folders.out, folders.labels, EvaluationOptions(allow_missing=True))
    assert (report.missing, list(report.summary.cases)) == (("b",), ["a"])


def test_extra_predictions_are_warned_of(folders: Folders, block: Block, caplog: pytest.LogCaptureFixture) -> None:
    folders.add("a", block(5), block(5))
    folders.add("x", block(5), None)
    with caplog.at_level(logging.WARNING):
        assert evaluate_folders(folders.out, folders.labels).extra == ("x",)
    assert "no reference for x" in caplog.text


def test_a_grid_that_lies_elsewhere_is_refused(folders: Folders, block: Block) -> None:
    folders.add("a", block(5), block(5), origin_mm=(0.0, 5.0, 0.0))
    with pytest.raises(GeometryError, match=r"out.a\.nii\.gz and .*labelsTs.a\.nii\.gz lie 5 mm apart"):
        evaluate_folders(folders.out, folders.labels)


def test_another_number_of_voxels_is_refused(folders: Folders, block: Block) -> None:
    folders.add("a", block(5)[:3], block(5))
    with pytest.raises(GeometryError, match=r"has \(3, 6, 8\) voxels.*has \(4, 6, 8\)"):
        evaluate_folders(folders.out, folders.labels)


def test_values_that_no_class_has_are_refused(folders: Folders, block: Block) -> None:
    folders.describe()
    folders.add("a", block(5, 9), block(5))
    with pytest.raises(FileError, match=r"out.a\.nii\.gz: holds 9, which .*dataset\.json does not declare"):
        evaluate_folders(folders.out, folders.labels)


def test_surfaces_can_be_left_out(folders: Folders, block: Block) -> None:
    folders.add("a", block(5), block(5))
    summary = evaluate_folders(folders.out, folders.labels, EvaluationOptions(surface=False)).summary
    assert summary.tolerance_mm is None
    assert "hd95_mm" not in summary.overall


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(OptionError, match=r"must not be negative, and is -1 mm"):
        EvaluationOptions(tolerance_mm=-1)
