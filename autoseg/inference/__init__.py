"""From a model folder and a volume to labels: sliding window, folds, flips, cascades, ensembles."""
