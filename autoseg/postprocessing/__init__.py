"""Cleaning segmentations: rules as data, how they are applied, and which of them pay."""

from __future__ import annotations

from autoseg.postprocessing.choice import choose_rules, chosen_rules
from autoseg.postprocessing.held_out import HeldOutCase
from autoseg.postprocessing.rules import (
    KeptRule,
    Postprocessing,
    Rule,
    apply_rules,
    common_rules,
    read_rules,
    write_rules,
)

__all__ = [
    "HeldOutCase",
    "KeptRule",
    "Postprocessing",
    "Rule",
    "apply_rules",
    "choose_rules",
    "chosen_rules",
    "common_rules",
    "read_rules",
    "write_rules",
]
