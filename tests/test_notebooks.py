"Every notebook runs to its end: the assertions in the notebooks are this project's main tests."
import os

import pytest
from nbdev.config import get_config
from nbdev.test import test_nb as run_notebook  # renamed, or pytest would collect it

from house import NAMES, NOTEBOOKS, ROOT


@pytest.mark.parametrize('path', NOTEBOOKS, ids=NAMES)
def test_notebook(path):
    flags = get_config(path=ROOT).tst_flags.split()
    try:
        passed, _ = run_notebook(path, skip_flags=flags, basepath=ROOT)
    finally:
        os.environ.pop('IN_TEST', None)     # nbdev leaves it behind, and then exports nothing
    assert passed
