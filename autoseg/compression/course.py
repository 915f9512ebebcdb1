"""Where a channel pruning leads: the widths of every stage after every step, decided once and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoseg.compression.allocation import Widths, global_widths, joined_curves, layer_widths, no_wider
from autoseg.compression.channel_pruning import spec_with
from autoseg.compression.coupling import channel_groups
from autoseg.compression.options import CompressionOptions
from autoseg.compression.search import FileBytes, Seconds, least_ratio
from autoseg.errors import OptionError
from autoseg.plans import NetworkSpec, StagePlan

if TYPE_CHECKING:
    from autoseg.compression.criteria import Scores


@dataclass(frozen=True)
class StageCourse:
    """ratios: the share of the filters that are cut after each step; widths: what stays, by group, after each."""

    ratios: tuple[float, ...]
    widths: tuple[Widths, ...]

    def spec(self, full: NetworkSpec, step: int) -> NetworkSpec:
        """The network after a step, counted from 0; full: before the first."""
        return spec_with(full, channel_groups(full), self.widths[step])


def stage_course(
    stage: StagePlan,
    options: CompressionOptions,
    seconds: Seconds,
    scores: Sequence[Scores] = (),
    *,
    file_bytes: FileBytes | None = None,
) -> StageCourse:
    """The course of one stage.

    scores: of the networks of its folds, needed for a global allocation. file_bytes: see search.meets_size.
    """
    coupling = channel_groups(stage.network)
    curves = joined_curves(scores) if options.allocation == "global" else {}

    def widths(ratio: float) -> Widths:
        if options.allocation == "global":
            return global_widths(coupling, curves, ratio, granularity=options.granularity)
        return layer_widths(coupling, ratio, granularity=options.granularity)

    ratios = options.ratios
    if options.has_target:

        def smaller(ratio: float) -> NetworkSpec:
            return spec_with(stage.network, coupling, widths(ratio))

        end = least_ratio(stage, smaller, options, seconds, file_bytes)
        ratios = tuple(round(end * (number + 1) / len(ratios), 6) for number in range(len(ratios)))
    kept: list[Widths] = []
    earlier: Mapping[str, int] = coupling.widths
    for ratio in ratios:
        kept.append(no_wider(coupling, widths(ratio), earlier, granularity=options.granularity))
        earlier = kept[-1]
    return StageCourse(ratios, tuple(kept))


def without_idle_steps(courses: dict[str, StageCourse], stages: Sequence[StagePlan]) -> dict[str, StageCourse]:
    """The courses without the steps at which no stage becomes smaller; OptionError where none is left."""
    full = {stage.name: channel_groups(stage.network).widths for stage in stages}
    count = len(next(iter(courses.values())).ratios)
    busy = [
        step
        for step in range(count)
        if any(
            course.widths[step] != (course.widths[step - 1] if step else full[name]) for name, course in courses.items()
        )
    ]
    if not busy:
        raise OptionError("Nothing would be cut.", "Give a smaller --granularity, or --prune with a higher END.")
    return {
        name: StageCourse(tuple(course.ratios[i] for i in busy), tuple(course.widths[i] for i in busy))
        for name, course in courses.items()
    }
