"""autoseg against nnU-Net 2.8.1 on this machine: python tests/benchmarks/run.py --help, and README.md beside it."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

    from comparison.suite import main

    sys.exit(main())
