"""autoseg against nnU-Net on this machine: what is measured, how it is kept, and how it is shown."""
