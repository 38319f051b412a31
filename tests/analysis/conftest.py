"""Where the records of these tests come from."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
