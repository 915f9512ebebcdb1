"""What a user may tell a planner."""

from __future__ import annotations

from dataclasses import dataclass

from autoseg.errors import OptionError
from autoseg.plans import Ints, Target
from autoseg.training.changes import UNCHANGED, TrainingChanges
from planners.rules.budget import DEFAULT_BUDGET_SECONDS

GIBIBYTE = 1024**3
WISHES = ("auto", "always", "never")
MIRRORS = ("auto", "all", "none")
ORGAN_MODELS = ("one-each", "shared")
GOLDEN_TARGET = Target("cuda", 8 * GIBIBYTE)
"""The GPU that the peer's rules were made for."""


@dataclass(frozen=True)
class Overrides:
    """Decisions taken by the user; None leaves them to the planner.

    Per-axis values are in the volume's order (z, y, x). base_filters: channels of the finest level. pooling: how many
    times the resolution is halved. widths: channels per level, finest first, in place of both. encoder_depth:
    convolutions (blocks, in a residual encoder) per level, the last one repeated. patch_size: three edges for the 3D
    stages, or two for the 2D one. batch_size: of every stage. spacing_mm: of the full resolution. clip: the range of CT
    that is mapped to [-1, 1]. cascade, two_stage: auto, always or never. lowres_shape, locate_shape: voxels that a
    median case has at most at the low resolution, and on the locator's grid. organ_models: one-each or shared.
    region_margin: around a located organ, in voxels of the full resolution; None for what training measures. mirror:
    auto, all or none, of the axes along which it is safe. training: of every stage.
    """

    base_filters: int | None = None
    pooling: int | None = None
    widths: Ints | None = None
    encoder_depth: Ints | None = None
    patch_size: Ints | None = None
    batch_size: int | None = None
    spacing_mm: tuple[float, ...] | None = None
    clip: tuple[float, ...] | None = None
    cascade: str = "auto"
    lowres_shape: Ints | None = None
    two_stage: str = "auto"
    locate_shape: Ints | None = None
    organ_models: str = "one-each"
    region_margin: int | None = None
    mirror: str = "auto"
    training: TrainingChanges = UNCHANGED

    def __post_init__(self) -> None:
        """Refuse values outside their range, by the name of the option."""
        for name, least in (("base_filters", 1), ("pooling", 0), ("batch_size", 1), ("region_margin", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"--{name.replace('_', '-')} must be at least {least}, not {value}.")
        if self.patch_size is not None and (len(self.patch_size) not in (2, 3) or min(self.patch_size) < 2):
            raise OptionError(
                f"--patch-size must be three edges of at least 2 voxels (two for 2D), not {self.patch_size}."
            )
        if self.spacing_mm is not None and (len(self.spacing_mm) != 3 or not min(self.spacing_mm) > 0):
            raise OptionError(f"--spacing must be three positive numbers of mm (z,y,x), not {self.spacing_mm}.")
        if self.clip is not None and not (len(self.clip) == 2 and self.clip[0] < self.clip[1]):
            raise OptionError(f"--clip must be two numbers, the smaller first, not {self.clip}.")
        self._check_lists()
        self._check_two_stage()
        for name in ("cascade", "two_stage"):
            value = getattr(self, name)
            if value not in WISHES:
                raise OptionError(f"--{name.replace('_', '-')} must be one of {', '.join(WISHES)}, not {value!r}.")
        if self.mirror not in MIRRORS:
            raise OptionError(f"--mirror must be one of {', '.join(MIRRORS)}, not {self.mirror!r}.")

    def _check_lists(self) -> None:
        for name in ("widths", "encoder_depth"):
            values = getattr(self, name)
            if values is not None and min(values) < 1:
                raise OptionError(f"--{name.replace('_', '-')} must be whole numbers of at least 1, not {values}.")
        if self.widths and (self.base_filters is not None or self.pooling is not None):
            raise OptionError(
                "--widths says what --base-filters and --pooling say.", "Give either the widths, or those two."
            )
        for name in ("lowres_shape", "locate_shape"):
            shape = getattr(self, name)
            if shape is not None and (len(shape) != 3 or min(shape) < 2):
                flag = f"--{name.replace('_', '-')}"
                raise OptionError(f"{flag} must be three edges of at least 2 voxels, not {shape}.")
        if self.lowres_shape is not None and self.cascade == "never":
            raise OptionError("--lowres-shape and --cascade never contradict each other.", "Leave out one of them.")

    def _check_two_stage(self) -> None:
        if self.organ_models not in ORGAN_MODELS:
            raise OptionError(f"--organ-models must be one of {', '.join(ORGAN_MODELS)}, not {self.organ_models!r}.")
        if self.two_stage != "never":
            return
        for name, usual in (("locate_shape", None), ("organ_models", "one-each"), ("region_margin", None)):
            if getattr(self, name) != usual:
                flag = f"--{name.replace('_', '-')}"
                raise OptionError(f"{flag} and --two-stage never contradict each other.", "Leave out one of them.")

    @property
    def poolings(self) -> int | None:
        """How often the resolution is halved: as often as the widths change level, or as given."""
        return len(self.widths) - 1 if self.widths else self.pooling


@dataclass(frozen=True)
class RecipeUse:
    """The recipe that some of the overrides come from.

    name, source: see planners.recipes. fields: of Overrides and of TrainingChanges, those that it decided.
    """

    name: str
    source: str
    fields: frozenset[str]


@dataclass(frozen=True)
class PlanningOptions:
    """Everything that a planner is told beside the fingerprint.

    name: of the plans. target: the device, its memory, and the time per fold and stage. seconds_per_multiply_add: of
    training on the target (autoseg.runtime measures it); None for a cautious guess. recipe: None without one.
    """

    name: str = "plans"
    target: Target = GOLDEN_TARGET
    overrides: Overrides = Overrides()
    seconds_per_multiply_add: float | None = None
    recipe: RecipeUse | None = None

    def __post_init__(self) -> None:
        """Refuse a target that cannot be planned for."""
        if self.target.device not in ("cpu", "cuda"):
            raise OptionError(f"--device must be cpu or cuda, not {self.target.device!r}.")
        if self.target.memory_bytes <= 0:
            raise OptionError(f"--memory must be positive, not {self.target.memory_bytes}.")
        if self.target.budget_seconds is not None and self.target.budget_seconds <= 0:
            raise OptionError(f"--budget must be positive, not {self.target.budget_seconds}.")

    def given_by(self, field: str) -> str:
        """Who decided a field of Overrides or TrainingChanges, as a phrase."""
        if self.recipe is not None and field in self.recipe.fields:
            return f"given by the recipe {self.recipe.name}"
        return "given by the user"

    @property
    def budget_seconds(self) -> float | None:
        """Per fold and stage: on a CPU there always is one."""
        default = DEFAULT_BUDGET_SECONDS if self.target.device == "cpu" else None
        return self.target.budget_seconds or default

    @property
    def mirrors(self) -> bool:
        """Whether patches are to be flipped: on a GPU, unless the user decides; a CPU's minutes are too few for it."""
        if self.overrides.mirror == "auto":
            return self.target.device == "cuda"
        return self.overrides.mirror == "all"
