"""One comparison: what it was told, where it lies, and what comes of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from autoseg.cli import plan_and_preprocess, predict, train
from autoseg.cli.comparison_costs import VariantCost, cost_of, mean_cost
from autoseg.cli.comparison_runs import Run, is_near
from autoseg.cli.plan_and_preprocess import plan_dataset, suggested_configuration, training_target
from autoseg.cli.train import make_trainer
from autoseg.cli.variants import (
    CHOOSING,
    CONFIGURATION,
    OF_TWO_STAGES,
    Variant,
    check_command_lines,
    folder_names,
    make_variants,
    split_values,
)
from autoseg.dataset import read_dataset
from autoseg.durations import duration
from autoseg.errors import OptionError
from autoseg.evaluation import EvaluationOptions, Summary, evaluate_folders, read_summary, summarize
from autoseg.files import read_artefact, write_json
from autoseg.fingerprint import Fingerprint
from autoseg.labels import Labels
from autoseg.plans import TWO_STAGE, Plans, read_plans, write_plans
from autoseg.workspace import Workspace

MOST_PLANNED = 4
"""How often plans are made for another budget until their trainings take that time; twice where the stages stay."""


@dataclass(frozen=True)
class Settings:
    """What all variants share, as it was when the comparison began; a later run with another is refused.

    what: the option that is varied. options: of all variants. budget_seconds: of each training, or total_seconds: of
    all trainings of a variant with a seed. memory_bytes: that all are planned for.
    """

    what: str
    options: dict[str, str]
    configuration: str | None
    budget_seconds: float | None
    device: str
    memory_bytes: int
    total_seconds: float | None = None
    schema: int = 1


class Comparing:
    """One comparison: what it was told, where it lies, and what comes of it."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.what, text = arguments.vary
        values = split_values(text)
        self.variants = make_variants(self.what, values, dict(arguments.set))
        check_command_lines(self.variants)
        self.name = arguments.name or self.what
        self.workspace = Workspace.open(arguments.root)
        self.dataset = self.workspace.dataset_name(arguments.dataset)
        self.plans_names = [f"compare-{self.name}-{part}" for part in folder_names(values)]
        self.is_begun = self.settings_file.exists()
        self._measured: dict[str, Fingerprint] = {}

    @property
    def folder(self) -> Path:
        """Where the results lie."""
        return self.workspace.results(self.dataset) / "comparisons" / self.name

    @property
    def settings_file(self) -> Path:
        """Written when all variants are planned, before the first is trained."""
        return self.folder / "settings.json"

    @cached_property
    def labels(self) -> Labels:
        """Of the dataset."""
        return read_dataset(self.workspace.raw(self.dataset)).labels

    @cached_property
    def settings(self) -> Settings:
        """Those of the run that began the comparison; OptionError where this one's differ."""
        arguments = self.arguments
        target = training_target(arguments)
        settings = (self.what, dict(arguments.set), arguments.configuration, arguments.budget)
        now = Settings(*settings, target.device, target.memory_bytes, arguments.total)
        if not self.is_begun:
            return now
        before = read_artefact(Settings, self.settings_file, remedy="Give another --name.")
        now = now if arguments.memory else replace(now, memory_bytes=before.memory_bytes)
        for name, value in vars(before).items():
            if value != getattr(now, name):
                raise OptionError(
                    f"The comparison {self.name} was begun with {name} {value}, not {getattr(now, name)}.",
                    "Give it as before to continue, or another --name.",
                )
        return before

    def plan(self) -> list[Run]:
        """Every training in order: all variants with the first seed, then with the next. Plans are on disk then."""
        plans = [self._plan(variant, name) for variant, name in zip(self.variants, self.plans_names, strict=True)]
        self._check_configurations(plans)
        return [
            self._run(variant, planned, seed)
            for seed in self.arguments.seeds
            for variant, planned in zip(self.variants, plans, strict=True)
        ]

    def begin(self, runs: Sequence[Run]) -> None:
        """Write down what all variants share, and the plans of further seeds."""
        if not self.is_begun:
            write_json(self.settings_file, self.settings)
        for run in runs:
            path = self.workspace.plans_file(self.dataset, run.plans.name)
            if not path.exists():
                write_plans(path, run.plans)

    def _plan(self, variant: Variant, name: str) -> Plans:
        """The plans of a variant: those on disk, where the run that began the comparison made them."""
        path = self.workspace.plans_file(self.dataset, name)
        total = self.settings.total_seconds
        if self.is_begun and path.exists():
            plans = read_plans(path)
            self._check_total(total, self._run(variant, plans, seed=0))
            return plans
        if total is None:
            return self._planned(variant, name, self.settings.budget_seconds, dry=self.arguments.dry_run)
        return self._planned_within(total, variant, name)

    def _check_total(self, total: float | None, run: Run) -> None:
        """Raise OptionError where the trainings of plans of before do not take the total with these folds."""
        if total is not None and not is_near(run.seconds, total):
            raise OptionError(
                f"The {duration(total)} of {self.what}={run.variant.value} were divided for other --folds: with these "
                f"its trainings take {duration(run.seconds or 0.0)}.",
                "Give the folds as before to continue, or another --name.",
            )

    def _planned_within(self, total: float, variant: Variant, name: str) -> Plans:
        """Plans whose trainings take the total together: the budget is shortened by what those for the total take."""
        budget = total
        for _ in range(MOST_PLANNED):
            plans = self._planned(variant, name, budget, dry=True)
            run = self._run(variant, plans, seed=0)
            seconds = run.seconds
            if seconds is None:
                raise OptionError(
                    f"--total divides time, and the trainings of {self.what}={variant.value} end by epochs.",
                    "Leave out --total, or the epochs.",
                )
            if is_near(seconds, total):
                print(f"{self.what}={variant.value}: {run.told(total)}, with a budget of {duration(budget)}.")
                return plans if self.arguments.dry_run else self._planned(variant, name, budget, dry=False)
            budget *= total / seconds
        raise OptionError(
            f"No budget makes the trainings of {self.what}={variant.value} take {duration(total)} together: "
            "how many stages are planned changes with it.",
            "Fix them by --set cascade=... or two-stage=..., or give --budget in place of --total.",
        )

    def _planned(self, variant: Variant, name: str, budget: float | None, *, dry: bool) -> Plans:
        settings = self.settings
        words = ["-d", self.dataset, "--plans-name", name, *variant.planning()]
        words += ["--device", settings.device, "--memory", str(settings.memory_bytes)]
        words += [f"--budget={budget}s"] if budget else []
        words += ["--dry-run"] if dry else []
        print(f"\n$ autoseg_plan_and_preprocess {' '.join(words)}", flush=True)
        options = plan_and_preprocess.make_parser().parse_args(words)
        plans = plan_dataset(self.dataset, self.workspace, options, self._measured)
        assert plans is not None
        return plans

    def _run(self, variant: Variant, plans: Plans, seed: int) -> Run:
        """A training; each further seed has the same plans under a name of their own, and so its own model folder."""
        plans = plans if seed == 0 else replace(plans, name=f"{plans.name}-seed-{seed}")
        configuration = self._configuration(variant, plans)
        words = [self.dataset, configuration, "--plans-name", plans.name, "--seed", str(seed), *variant.training()]
        words += ["--device", self.settings.device, "--folds", *self.arguments.folds]
        trainer = make_trainer(self.workspace, self.dataset, plans, train.make_parser().parse_args(words))
        return Run(variant, seed, plans, trainer)

    def _configuration(self, variant: Variant, plans: Plans) -> str:
        """What is trained of a variant: what is asked for, else what planning suggests."""
        given = variant.options.get(CONFIGURATION) or self.arguments.configuration
        if self.what in OF_TWO_STAGES or variant.options.get("two-stage") == "always":
            given = given or TWO_STAGE
        return given or suggested_configuration(plans)

    def _check_configurations(self, plans: Sequence[Plans]) -> None:
        """Tell what is trained of each variant; OptionError where a comparison of other things would compare these."""
        pairs = zip(self.variants, plans, strict=True)
        found = {variant.value: self._configuration(variant, planned) for variant, planned in pairs}
        print(f"\ntrained of each: {', '.join(dict.fromkeys(found.values()))}")
        if len(set(found.values())) > 1 and self.what not in (CONFIGURATION, *CHOOSING):
            told = ", ".join(f"{name} with {value}" for value, name in found.items())
            raise OptionError(
                f"Planning suggests other configurations for other values of {self.what}: {told}.",
                f"Give the one to compare, as in -c {next(iter(found.values()))}.",
            )

    def summaries(self, runs: Sequence[Run]) -> dict[str, list[Summary]]:
        """Per value of the option the scores of its runs: of the folds' validation cases, or of the test cases."""
        found: dict[str, list[Summary]] = {variant.value: [] for variant in self.variants}
        for run in runs:
            found[run.variant.value].append(
                self._validated(run) if self.arguments.images is None else self._tested(run)
            )
        return found

    def costs(self, runs: Sequence[Run]) -> dict[str, VariantCost]:
        """Per value of the option what its runs cost; after summaries()."""
        found: dict[str, list[VariantCost]] = {variant.value: [] for variant in self.variants}
        for run in runs:
            predicted = None if self.arguments.images is None else self._predicted(run)
            found[run.variant.value].append(cost_of(run.trainer.job.folder, self.arguments.folds, predicted))
        return {value: mean_cost(costs) for value, costs in found.items()}

    def _predicted(self, run: Run) -> Path:
        return self.folder / "predicted" / f"{run.plans.name}-{run.trainer.job.configuration}"

    def _validated(self, run: Run) -> Summary:
        folds = [
            read_summary(run.trainer.job.folder / f"fold_{fold}" / "summary.json") for fold in self.arguments.folds
        ]
        return summarize({case: scores for fold in folds for case, scores in fold.cases.items()})

    def _tested(self, run: Run) -> Summary:
        out = self._predicted(run)
        words = ["--model", str(run.trainer.job.folder), "-i", str(self.arguments.images), "-o", str(out), "--continue"]
        words += ["--device", self.settings.device, "--folds", *self.arguments.folds]
        print(f"\n$ autoseg_predict {' '.join(words)}", flush=True)
        predict.predict(predict.make_parser().parse_args(words))
        description = self.workspace.raw(self.dataset) / "dataset.json"
        options = EvaluationOptions(dataset_json=description, surface=False)
        return evaluate_folders(out, self.arguments.labels, options).summary
