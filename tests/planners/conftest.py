"""Makes the plans of organs importable: tests are imported one by one, without a package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
