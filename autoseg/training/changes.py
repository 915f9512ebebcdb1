"""What a user or a recipe changes in the training that a planner would choose."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from autoseg.errors import OptionError
from autoseg.plans import TrainingPlan

WARMUP_ITERATIONS = 20
"""Of an optimiser that was not planned: the first steps of adaptive ones are as long as the rate allows."""


@dataclass(frozen=True)
class TrainingChanges:
    """The fields of a TrainingPlan that are decided by somebody else; None leaves them as they are."""

    optimizer: str | None = None
    learning_rate: float | None = None
    schedule: str | None = None
    first_cycle_epochs: int | None = None
    cycle_growth: int | None = None
    loss: str | None = None
    augmentation: float | None = None
    rotation_degrees: float | None = None
    scales: tuple[float, ...] | None = None
    shift_voxels: int | None = None
    foreground_fraction: float | None = None
    crops_per_case: int | None = None
    whole_validation_epochs: int | None = None
    cached: bool | None = None

    def __post_init__(self) -> None:
        """Refuse values outside their range, by the name of the option."""
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise OptionError(f"--lr must be positive, not {self.learning_rate}.")
        for name, flag, least in (
            ("first_cycle_epochs", "--first-cycle", 1),
            ("cycle_growth", "--cycle-growth", 1),
            ("augmentation", "--augmentation", 0),
            ("shift_voxels", "--shift", 0),
            ("crops_per_case", "--crops-per-case", 1),
            ("whole_validation_epochs", "--validate-whole", 0),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"{flag} must be at least {least}, not {value}.")
        _check_range("--rotation", self.rotation_degrees, 0, 180)
        _check_range("--foreground-fraction", self.foreground_fraction, 0, 1)
        if self.scales is not None and not (len(self.scales) == 2 and 0 < self.scales[0] <= self.scales[1]):
            raise OptionError(f"--scales must be two positive factors, the smaller first, not {self.scales}.")

    @property
    def given(self) -> dict[str, object]:
        """Field name to value, of what is changed."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def applied_to(self, plan: TrainingPlan) -> TrainingPlan:
        """The plan with these changes. An optimiser other than the plan's brings its own rate and a warm-up."""
        own: dict[str, object] = {}
        if self.optimizer not in (None, plan.optimizer):
            own = {"learning_rate": self._usual_rate(), "warmup_iterations": WARMUP_ITERATIONS}
        return replace(plan, **(own | self.given))  # type: ignore[arg-type]

    def _usual_rate(self) -> float:
        from autoseg.training.optimizers import find_optimizer

        assert self.optimizer is not None
        return find_optimizer(self.optimizer).learning_rate

    def check_names(self) -> None:
        """Refuse a loss, an optimiser or a schedule that does not exist. Imports torch where one is named."""
        if self.loss is not None:
            from autoseg.losses import LOSSES, parse_expression
            from autoseg.registry import resolve

            for _, name in parse_expression(self.loss):
                resolve("loss", LOSSES, name)
        if self.optimizer is not None:
            from autoseg.training.optimizers import find_optimizer

            find_optimizer(self.optimizer)
        if self.schedule is not None:
            from autoseg.training.schedules import find_schedule

            find_schedule(self.schedule)


def _check_range(flag: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise OptionError(f"{flag} must lie between {least} and {most}, not {value}.")


UNCHANGED = TrainingChanges()
