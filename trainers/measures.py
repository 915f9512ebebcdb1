"""compression.json of a compressed model: every step's size, work, time per patch and Dice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.compression.latency import measured_latency
from autoseg.compression.report import REPORT, STEPS, CompressionReport, NetworkMeasure, StepReport
from autoseg.errors import OptionError, ResourceError
from autoseg.files import checksum, read_artefact, to_json, write_json
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
            specs = [read_spec(paths[0]) for paths in files]
            seconds, engines[stage.network_name] = self._seconds(stage, specs)
            for number, (spec, paths) in enumerate(zip(specs, files, strict=True)):
                networks[number][stage.network_name] = measure(spec, stage, paths, seconds.get(spec))
        return tuple(replace(step, networks=found) for step, found in zip(made, networks, strict=True)), engines

    def _files(self, stage: StagePlan, folder: Path) -> list[Path]:
        place = replace(self.job, folder=folder).stage_folder(stage)
        return [place / f"fold_{name}" / WEIGHTS for name in self.job.fold_names]

    def _seconds(self, stage: StagePlan, specs: Sequence[NetworkSpec]) -> tuple[dict[NetworkSpec, float], str]:
        """Per patch, by spec, each measured once: all engines lie in one process. And which engine it was."""
        distinct = list(dict.fromkeys(specs))
        try:
            latency = measured_latency(stage, distinct, device=StageTraining(self.job, stage).settings.device)
        except (OptionError, ResourceError):
            return {}, "not measured"
        return dict(zip(distinct, latency.seconds, strict=True)), latency.engine


def measure(spec: NetworkSpec, stage: StagePlan, files: Sequence[Path], seconds: float | None) -> NetworkMeasure:
    """A network of a stage, or of those that share it, as it lies in the files of its folds."""
    work = network_cost(spec, stage.patch_size, 1).multiply_adds
    size = round(sum(path.stat().st_size for path in files) / len(files))
    return NetworkMeasure(count_weights(files[0]), work, size, seconds)


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
