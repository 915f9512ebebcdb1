"""The default planner: the best-known peer's rules on a GPU, the time at hand on a CPU."""

from __future__ import annotations

from typing import final

from autoseg.fingerprint import Fingerprint
from autoseg.labels import Labels
from autoseg.plans import Plans
from planners.family import PLAIN
from planners.options import PlanningOptions
from planners.planning import make_plans


@final
class DefaultPlanner:
    """Plain U-Nets."""

    def plan(
        self, fingerprint: Fingerprint, labels: Labels | None = None, options: PlanningOptions | None = None
    ) -> Plans:
        """See planners.planning.make_plans."""
        return make_plans(PLAIN, fingerprint, labels, options)
