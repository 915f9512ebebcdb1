"""What one run of training is told, and how that and the plan become settings without a gap."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoseg.errors import OptionError
from autoseg.plans import TrainingPlan
from autoseg.training.changes import UNCHANGED, TrainingChanges

DEFAULT_BUDGET_EPOCHS = 20


@dataclass(frozen=True)
class TrainingOptions:
    """Options of a run; None leaves the decision to the plan.

    folds: numbers of folds, or "all"; empty for every fold. budget_seconds: wall clock per fold and stage. changes: of
    what the plan says. patience: epochs without a better validation Dice after which training stops. pretrained: a
    model to start from. precision: auto, fp32, bf16 or fp16. workers: processes that make batches; 0 for one background
    thread. restart: train finished and started folds again from nothing.
    """

    folds: tuple[str, ...] = ()
    epochs: int | None = None
    iterations_per_epoch: int | None = None
    budget_seconds: float | None = None
    changes: TrainingChanges = UNCHANGED
    patience: int | None = None
    pretrained: Path | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    workers: int = 0
    restart: bool = False

    def __post_init__(self) -> None:
        """Refuse options that contradict each other or lie outside their range."""
        if self.budget_seconds is not None and self.epochs is not None:
            raise OptionError("--budget and --epochs contradict each other.", "Give one: a time or a number of epochs.")
        for name in ("epochs", "iterations_per_epoch", "budget_seconds", "patience", "threads"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise OptionError(f"--{name.replace('_', '-').removesuffix('-seconds')} must be positive, not {value}.")
        if self.workers < 0:
            raise OptionError(f"--workers must be at least 0, not {self.workers}.")


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides how a network turns out, without a gap; written beside the result.

    epochs is None exactly where budget_seconds is set: then the schedule runs over the wall clock.
    """

    optimizer: str
    learning_rate: float
    schedule: str
    first_cycle_epochs: int
    cycle_growth: int
    loss: str
    epochs: int | None
    iterations_per_epoch: int
    budget_seconds: float | None
    augmentation: float
    rotation_degrees: float | None
    scales: tuple[float, float]
    shift_voxels: int
    foreground_fraction: float
    crops_per_case: int
    weight_average: float
    warmup_iterations: int
    whole_validation_epochs: int
    patience: int | None
    pretrained: str | None
    seed: int
    precision: str
    device: str


def settle(plan: TrainingPlan, options: TrainingOptions, *, precision: str, device: str) -> TrainingSettings:
    """Merge the plan's defaults and a run's options. precision and device: as decided for this machine."""
    plan = options.changes.applied_to(plan)
    by_epochs = options.epochs is not None or (options.budget_seconds is None and plan.budget_seconds is None)
    return TrainingSettings(
        optimizer=plan.optimizer,
        learning_rate=plan.learning_rate,
        schedule=plan.schedule,
        first_cycle_epochs=plan.first_cycle_epochs,
        cycle_growth=plan.cycle_growth,
        loss=plan.loss,
        epochs=(options.epochs or plan.epochs) if by_epochs else None,
        iterations_per_epoch=options.iterations_per_epoch or plan.iterations_per_epoch,
        budget_seconds=None if by_epochs else _budget_seconds(plan, options),
        augmentation=plan.augmentation,
        rotation_degrees=plan.rotation_degrees,
        scales=plan.scales,
        shift_voxels=plan.shift_voxels,
        foreground_fraction=plan.foreground_fraction,
        crops_per_case=plan.crops_per_case,
        weight_average=plan.weight_average,
        warmup_iterations=plan.warmup_iterations,
        whole_validation_epochs=plan.whole_validation_epochs,
        patience=options.patience,
        pretrained=str(options.pretrained) if options.pretrained else None,
        seed=options.seed,
        precision=precision,
        device=device,
    )


def _budget_seconds(plan: TrainingPlan, options: TrainingOptions) -> float | None:
    """The stage's budget of the options, of which this training has a share, or the plan's own."""
    return plan.budget_seconds if options.budget_seconds is None else options.budget_seconds * plan.budget_share
