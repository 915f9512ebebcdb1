"""Pure functions that planners are made of; the peer's rules are restated in documentation/explanation/planning.md."""
