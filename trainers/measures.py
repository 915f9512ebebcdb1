"""compression.json of a compressed model: every step's size, work, time per patch and Dice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.compression.latency import INT8_ENGINE, measured_latency
from autoseg.compression.report import REPORT, STEPS, CompressionReport, NetworkMeasure, StepReport
from autoseg.compression.weights import zeros_and_levels
from autoseg.errors import OptionError, ResourceError
from autoseg.files import checksum, read_artefact, to_json, write_json
from autoseg.inference.calibration import find_int8
from autoseg.inference.model_files import WEIGHTS
from autoseg.networks.cost import network_cost
from autoseg.networks.storage import count_weights, read_spec
from autoseg.plans import NetworkSpec, StagePlan
from trainers.job import Job, first_of_each_network
from trainers.source import name_beside
from trainers.stage import StageTraining

if TYPE_CHECKING:
    from trainers.compressing import Chain


@dataclass(frozen=True)
class NetworkFiles:
    """What prediction opens of a network.

    weights: of each fold. int8: by organ, that with the largest patch first, the forms of all folds, none where one was
    not accepted.
    """

    weights: tuple[Path, ...]
    int8: tuple[tuple[str, ...], ...]

    @cached_property
    def spec(self) -> NetworkSpec:
        """Its structure."""
        return read_spec(self.weights[0])

    @property
    def form(self) -> str | None:
        """In int8, of the organ with the largest patch and the first fold; None unless every organ has one."""
        return self.int8[0][0] if all(self.int8) else None

    @property
    def bytes(self) -> int:
        """The mean over folds."""
        structures = [Path(file) for organ in self.int8 for file in organ]
        files = [*self.weights, *structures, *(path.with_suffix(".bin") for path in structures)]
        return round(sum(path.stat().st_size for path in files) / len(self.weights))


@dataclass(frozen=True)
class Time:
    """Seconds per patch, and the engine that took them; None where nothing was measured."""

    seconds: float | None
    engine: str | None


@dataclass(frozen=True)
class StepMeasures:
    """Measures the networks of a model and of the steps made out of it. steps: the folder that holds them."""

    job: Job
    stages: tuple[str, ...]
    source: Path
    steps: Path

    def add_networks(self, made: Sequence[StepReport]) -> tuple[tuple[StepReport, ...], dict[str, str]]:
        """The steps, the uncompressed model first, with the measures of their networks; and the engines by stage."""
        networks: list[dict[str, NetworkMeasure]] = [{} for _ in made]
        engines = {}
        for stage in first_of_each_network(self.job.stages):
            if stage.name not in self.stages:
                continue
            files = [
                self._files(stage, self.source if not i else self.steps / step.name) for i, step in enumerate(made)
            ]
            largest = self.job.plans.largest_sharing(stage)
            times, engines[stage.network_name] = self._times(largest, files)
            for found, one, time in zip(networks, files, times, strict=True):
                found[stage.network_name] = measure(one, largest, time)
        return tuple(replace(step, networks=found) for step, found in zip(made, networks, strict=True)), engines

    def _files(self, stage: StagePlan, folder: Path) -> NetworkFiles:
        place = replace(self.job, folder=folder).stage_folder(stage)
        weights = tuple(place / f"fold_{name}" / WEIGHTS for name in self.job.fold_names)
        largest = self.job.plans.largest_sharing(stage)
        sharing = sorted(self.job.plans.sharing(stage), key=lambda one: one is not largest)
        forms = tuple(find_int8(weights, organ=one.shared_as) for one in sharing)
        return NetworkFiles(weights, tuple(tuple(one.file for one in organ) for organ in forms))

    def _times(self, stage: StagePlan, files: Sequence[NetworkFiles]) -> tuple[list[Time], str]:
        """Of each network, one per structure: all engines lie in one process. And the engine that computed floats."""
        device = StageTraining(self.job, stage).settings.device
        timed: list[NetworkSpec | str] = [one.form if one.form and device == "cpu" else one.spec for one in files]
        distinct = list(dict.fromkeys((files[0].spec, *timed)))
        try:
            latency = measured_latency(stage, distinct, device=device)
        except (OptionError, ResourceError):
            return [Time(None, None) for _ in files], "not measured"
        known = {
            one: Time(seconds, INT8_ENGINE if isinstance(one, str) else latency.engine)
            for one, seconds in zip(distinct, latency.seconds, strict=True)
        }
        return [known[one] for one in timed], latency.engine


def measure(files: NetworkFiles, stage: StagePlan, time: Time) -> NetworkMeasure:
    """A network of a stage, or of those that share it and this has the largest patch of, as it lies in its files."""
    work = network_cost(files.spec, stage.patch_size, 1).multiply_adds
    zeros, levels = zeros_and_levels(files.weights)
    parameters = count_weights(files.weights[0])
    return NetworkMeasure(parameters, work, files.bytes, time.seconds, time.engine, zeros, levels)


def write_report(chain: Chain, measures: StepMeasures, made: Sequence[StepReport], good: StepReport) -> None:
    """Write compression.json beside the model, unless it tells of these steps and options already."""
    path, options = chain.job.folder / REPORT, to_json(chain.compression)
    if path.exists():
        report = read_artefact(CompressionReport, path, remedy="Delete it.")
        if _tells_of(report, made, good) and report.options == options:
            return
    steps, engines = measures.add_networks(made)
    files = [path.relative_to(chain.source) for path in sorted(chain.source.rglob(WEIGHTS))]
    report = CompressionReport(
        trainer=chain.trainer,
        source=name_beside(chain.source, chain.job.folder),
        made_from={str(path): checksum(chain.source / path) for path in files if path.parts[0] != STEPS},
        options=options,
        chosen=good.name,
        dice_before=made[0].dice,
        dice_after=good.dice,
        engines=engines,
        steps=steps,
    )
    write_json(path, report)


def _tells_of(report: CompressionReport, made: Sequence[StepReport], good: StepReport) -> bool:
    told = tuple(replace(step, networks={}) for step in report.steps)
    return told == tuple(made) and report.chosen == good.name
