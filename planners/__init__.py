"""Ways of turning a fingerprint into plans, one file each; rules/ holds the pure functions they are made of.

A planner is a class without arguments whose
    plan(fingerprint: Fingerprint, labels: Labels | None = None, options: PlanningOptions = PlanningOptions()) -> Plans
decides everything about a dataset. labels: None for the fingerprint's classes as plain labels 1, 2, ...
"""

from __future__ import annotations

PLANNERS = {
    "default": "planners.default:DefaultPlanner",
    "residual": "planners.residual:ResidualPlanner",
}
