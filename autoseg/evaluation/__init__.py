"""How good a segmentation is: overlap, surfaces and volumes per case and class, and means with intervals."""

from autoseg.evaluation.scores import ClassScores, evaluate_case
from autoseg.evaluation.summary import Summary, read_summary, summarize, write_summary

__all__ = ["ClassScores", "Summary", "evaluate_case", "read_summary", "summarize", "write_summary"]
