"""What a compression is told, as values: parsed, checked, and written beside its result."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path

from autoseg.errors import OptionError

ALLOCATIONS = ("layer", "global")
MOST_PRUNED = 0.9
THRESHOLD_SCALES = ("layer", "absolute")
METHODS = ("channel_pruning", "threshold_pruning", "quantization")
"""Of compress, in the order in which they are applied; int8 comes after them where it is asked for."""
EVERY_METHOD = (*METHODS, "int8")
MOST_LEVELS = 4096


@dataclass(frozen=True)
class Bound:
    """A bound on seconds or bytes: `value` of them, or where it is a share, `value` times those of the full network."""

    value: float
    is_share: bool

    def of(self, full: float) -> float:
        """The bound in the unit, where the full network has `full`."""
        return self.value * full if self.is_share else self.value

    @classmethod
    def parse(cls, text: str, units: dict[str, float]) -> Bound:
        """Parse 0.5x, or a number with one of the units; ValueError for anything else."""
        match = re.fullmatch(r"(\d*\.?\d+)\s*([A-Za-z]+)", text.strip())
        known = {"x": 1.0} | units
        if not match or float(match[1]) <= 0 or match[2].lower() not in known:
            raise ValueError(text)
        return cls(float(match[1]) * known[match[2].lower()], match[2].lower() == "x")


@dataclass(frozen=True)
class CompressionOptions:
    """Options of a compression.

    source: the model folder that is compressed; None for the usual one. stages: names of the stages to compress; empty
    for all. criterion: in criteria.CRITERIA. allocation: layer or global. granularity: widths become multiples of it.
    pruning_schedule: share of the filters that is cut at the first step, how much more at each further one, and at the
    last. target_latency: seconds per patch, target_bytes: of the file of a network: the schedule then leads to the
    least pruning that reaches them, in as many steps. max_dice_drop: of mean Dice over validation cases; the step that
    costs more is not taken. distil: the teacher's share in the loss; temperature; distil_features: weight of the
    attention maps. unlabelled: a folder of images. threshold_schedule: below which magnitude weights become zero at the
    first step, how much more at each further one, and at the last; threshold_scale: layer where that counts in standard
    deviations of each layer's weights, absolute where not. levels: of the weights of quantisation; level_range: of all
    of them, None for the best one per channel. int8_tolerance: by how much the Dice of a network in int8 may be lower;
    quantization_aware: it is trained on before it is brought to int8. methods: of compress.
    """

    source: Path | None = None
    stages: tuple[str, ...] = ()
    criterion: str = "magnitude"
    allocation: str = "layer"
    granularity: int = 8
    pruning_schedule: tuple[float, float, float] = (0.05, 0.05, 0.25)
    target_latency: Bound | None = None
    target_bytes: Bound | None = None
    max_dice_drop: float | None = None
    distil: float = 0.5
    temperature: float = 2.0
    distil_features: float = 0.0
    unlabelled: Path | None = None
    threshold_schedule: tuple[float, float, float] = (0.1, 0.05, 0.4)
    threshold_scale: str = "layer"
    levels: int = 31
    level_range: float | None = None
    int8_tolerance: float = 0.005
    quantization_aware: bool = False
    methods: tuple[str, ...] = METHODS

    def __post_init__(self) -> None:
        """Refuse values outside their range, by the name of the option."""
        start, step, end = self.pruning_schedule
        if not (0 < start <= end <= MOST_PRUNED and step > 0):
            shown = ",".join(f"{100 * value:g}" for value in self.pruning_schedule)
            raise OptionError(
                f"--prune must be START,STEP,END in per cent, rising to at most {100 * MOST_PRUNED:g}, not {shown}.",
                "Write for example --prune 5,5,25.",
            )
        if self.granularity < 1:
            raise OptionError(f"--granularity must be at least 1, not {self.granularity}.")
        if not 0 <= self.distil <= 1:
            raise OptionError(f"--distil must lie between 0 and 1, not {self.distil}.")
        if self.temperature <= 0:
            raise OptionError(f"--distil-temperature must be positive, not {self.temperature}.")
        for name in ("distil_features", "max_dice_drop"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise OptionError(f"--{name.replace('_', '-')} must be at least 0, not {value}.")
        if self.unlabelled is not None and not self.teaches:
            raise OptionError("--unlabelled needs a teacher.", "Give --distil a share above 0.")
        self._check_weights()
        unknown = [name for name in self.methods if name not in EVERY_METHOD]
        if unknown or not self.methods:
            raise OptionError(f"--methods must be among {', '.join(EVERY_METHOD)}, not {', '.join(unknown)}.")
        if self.allocation not in ALLOCATIONS:
            raise OptionError(f"--prune-allocation must be one of {', '.join(ALLOCATIONS)}, not {self.allocation!r}.")

    def _check_weights(self) -> None:
        """Of threshold pruning, quantisation and int8."""
        start, step, end = self.threshold_schedule
        if not (0 < start <= end and step > 0):
            shown = ",".join(f"{value:g}" for value in self.threshold_schedule)
            raise OptionError(f"--threshold must be START,STEP,END, rising, not {shown}.", "Write 0.1,0.05,0.4.")
        if self.threshold_scale not in THRESHOLD_SCALES:
            known = ", ".join(THRESHOLD_SCALES)
            raise OptionError(f"--threshold-scale must be one of {known}, not {self.threshold_scale!r}.")
        if not 2 <= self.levels <= MOST_LEVELS:
            raise OptionError(f"--levels must be 2 to {MOST_LEVELS}, not {self.levels}.", "31 is usual.")
        if self.level_range is not None and not self.level_range > 0:
            raise OptionError(f"--level-range must be positive, not {self.level_range}.")
        if self.int8_tolerance < 0:
            raise OptionError(f"--int8-tolerance must be at least 0, not {self.int8_tolerance}.")

    @property
    def teaches(self) -> bool:
        """Whether the uncompressed model teaches."""
        return self.distil > 0 or self.distil_features > 0

    @property
    def ratios(self) -> tuple[float, ...]:
        """The schedule's shares, one per step."""
        start, step, end = self.pruning_schedule
        count = int((end - start) / step + 1e-9) + 1
        found = [round(start + number * step, 6) for number in range(count)]
        return tuple(found if found[-1] > end - 1e-6 else [*found, end])

    @property
    def has_target(self) -> bool:
        """Whether the end of the schedule is searched for."""
        return self.target_latency is not None or self.target_bytes is not None


def given_options(options: CompressionOptions) -> list[str]:
    """The names of the fields that differ from their defaults."""
    usual = CompressionOptions()
    return [field.name for field in fields(options) if getattr(options, field.name) != getattr(usual, field.name)]
