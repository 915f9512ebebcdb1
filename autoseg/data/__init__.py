"""From prepared cases to batches: folds, where patches are cut, how they are changed, and the loader."""
