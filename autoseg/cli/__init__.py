"""The commands, one file each: the one place that imports planners, trainers and dataset_conversion."""
