"""Plans with residual encoders, which are deeper for the same memory (the peer's preset M)."""

from __future__ import annotations

from typing import final

from autoseg.fingerprint import Fingerprint
from autoseg.labels import Labels
from autoseg.plans import Plans
from planners.family import RESIDUAL
from planners.options import PlanningOptions
from planners.planning import make_plans


@final
class ResidualPlanner:
    """U-Nets with residual encoders of 1, 3, 4, 6, 6, ... blocks and a light decoder."""

    def plan(
        self, fingerprint: Fingerprint, labels: Labels | None = None, options: PlanningOptions | None = None
    ) -> Plans:
        """See planners.planning.make_plans."""
        return make_plans(RESIDUAL, fingerprint, labels, options)
