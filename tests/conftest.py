"Settings for all tests."

import os
import sys
from pathlib import Path

os.environ.setdefault('MPLBACKEND', 'agg')
if 'PYTEST_XDIST_WORKER' in os.environ:
    os.environ.setdefault('OMP_NUM_THREADS', '1')     # workers side by side: a core for each
sys.path.insert(0, str(Path(__file__).parent))
