"""Cleaning what was predicted, and telling which organs that removes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from autoseg.geometry import Geometry
from autoseg.inference.chain import Chain, ChainOutput
from autoseg.inference.merging import found_organs
from autoseg.inference.two_stage import TwoStageChain
from autoseg.labels import Labels
from autoseg.postprocessing import Rule, apply_rules

REMOVED = "postprocessing removed it"


def cleaned(
    output: ChainOutput, rules: Sequence[Rule], chains: Iterable[Chain], labels: Labels, geometry: Geometry
) -> ChainOutput:
    """What chains predicted of a volume, with its labels cleaned by the rules.

    Where a chain looks for organs one by one, those of which the rules leave nothing join the ones not found.
    """
    assert output.labels is not None
    if not rules:
        return output
    after, not_found = apply_rules(output.labels, rules, labels, geometry.voxel_volume_mm3), output.not_found
    if any(isinstance(chain, TwoStageChain) for chain in chains):
        removed = found_organs(output.labels, labels) - found_organs(after, labels)
        reasons = not_found | dict.fromkeys(removed, REMOVED)
        not_found = {name: reasons[name] for name in labels.names if name in reasons}
    return replace(output, labels=after, not_found=not_found)
