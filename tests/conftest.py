"Settings for all tests."

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

os.environ.setdefault('MPLBACKEND', 'agg')
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:       # as in a job that a shell has put into the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
if 'PYTEST_XDIST_WORKER' in os.environ:
    os.environ.setdefault('OMP_NUM_THREADS', '1')     # workers side by side: a core for each
sys.path.insert(0, str(Path(__file__).parent))


def find_browser() -> tuple[Path, str]:
    """A folder whose node_modules have playwright-core, kept between runs, and Chromium.

    Skips the test where one is missing, or where npm cannot get it.
    """
    names = filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome')))
    chromium = next(names, None)
    if chromium is None or shutil.which('npm') is None or shutil.which('node') is None:
        pytest.skip('needs Chromium, node and npm')
    folder = Path(os.environ.get('ASDVIDEO_NODE', Path.home()/'.cache'/'asdvideo-node'))
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder/'.lock'):
        if not (folder/'node_modules'/'playwright-core').is_dir():
            command = ['npm', 'install', '--silent', '--no-save', 'playwright-core']
            try:
                failed = subprocess.run(command, cwd=folder, capture_output=True, timeout=300).returncode
            except (OSError, subprocess.TimeoutExpired) as error:
                failed = error
            if failed:
                pytest.skip('npm could not get playwright-core')
    return folder, chromium


@pytest.fixture(scope='session')
def browser() -> tuple[Path, str]:
    "See `find_browser`."
    return find_browser()


# the suite leaves the checkout as it is

ROOT = Path(__file__).resolve().parent.parent
BEFORE = pytest.StashKey[list[str]]()


def surroundings() -> list[str]:
    "What git sees as changed, and what lies in runs/ and out/."
    command = ['git', '-C', str(ROOT), 'status', '--porcelain', '--untracked-files=all']
    found = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return found + [str(path) for name in ('runs', 'out') for path in sorted((ROOT/name).glob('*'))]


def pytest_sessionstart(session: pytest.Session) -> None:
    "Look around before the first test, if all of them are asked for; of several workers only their head does."
    words = session.config.invocation_params.args
    whole = not any(Path(str(word).partition('::')[0]).exists() for word in words)
    if whole and 'PYTEST_XDIST_WORKER' not in os.environ:
        session.config.stash[BEFORE] = surroundings()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    "The suite fails if it has changed the checkout, runs/ or out/."
    before = session.config.stash.get(BEFORE, None)
    if before is not None and (new := sorted(set(surroundings()) ^ set(before))):
        print('\nDuring the tests these have changed:', *new, sep='\n')
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
