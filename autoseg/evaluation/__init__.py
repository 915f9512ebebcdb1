"""How good a segmentation is: overlap, surfaces and volumes per case and class, and means with intervals."""

from autoseg.evaluation.folders import EvaluationOptions, evaluate_folders
from autoseg.evaluation.report import Report
from autoseg.evaluation.scores import ClassScores, evaluate_case
from autoseg.evaluation.summary import Summary, read_summary, summarize, write_summary

__all__ = [
    "ClassScores",
    "EvaluationOptions",
    "Report",
    "Summary",
    "evaluate_case",
    "evaluate_folders",
    "read_summary",
    "summarize",
    "write_summary",
]
