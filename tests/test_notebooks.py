"Every notebook runs: the assertions in the notebooks are this project's main tests."
import os
from pathlib import Path

import pytest
from nbdev.config import get_config
from nbdev.test import test_nb as run_nb     # renamed, or pytest would collect it

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT/'nbs').glob('*.ipynb'))


@pytest.mark.parametrize('path', NOTEBOOKS, ids=[p.stem for p in NOTEBOOKS])
def test_notebook(path):
    config = get_config(path=ROOT)
    try: passed, seconds = run_nb(path, skip_flags=config.tst_flags.split(), basepath=ROOT)
    finally: os.environ.pop('IN_TEST', None)  # nbdev leaves it behind, and then exports nothing
    assert passed
