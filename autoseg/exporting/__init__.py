"""Models as folders that predict without torch and without autoseg."""
