"""One training loop, its hooks, and what a run can be told: it knows nothing of images, plans or folders."""
