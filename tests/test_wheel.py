"The wheel, installed somewhere else, has everything in it that its commands need."
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import asdvideo
from house import ROOT, settings_files


def run(*words: object, cwd: Path) -> subprocess.CompletedProcess:
    "Run a program that knows nothing of this checkout."
    env = {name: value for name, value in os.environ.items() if not name.startswith(('PYTHON', 'ASDVIDEO', 'IN_TEST'))}
    return subprocess.run(list(map(str, words)), cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope='module')
def installed(tmp_path_factory) -> Path:
    "A fresh environment with the wheel in it; what the wheel needs is borrowed from this one."
    folder = tmp_path_factory.mktemp('wheel')
    source = folder/'source'
    ignored = shutil.ignore_patterns('.git', '.venv', 'out', 'runs', 'build', '*.egg-info', '__pycache__')
    shutil.copytree(ROOT, source, ignore=ignored, symlinks=True)
    pip = (sys.executable, '-m', 'pip', '--disable-pip-version-check')
    built = run(*pip, 'wheel', '--no-deps', '--no-build-isolation', '--wheel-dir', folder, source, cwd=folder)
    assert built.returncode == 0, built.stderr
    wheel, = folder.glob('*.whl')
    home = folder/'env'
    assert run(sys.executable, '-m', 'venv', '--without-pip', home, cwd=folder).returncode == 0
    python = home/'bin'/'python'
    done = run(*pip, '--python', python, 'install', '--no-deps', '--no-index', wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    site, = home.glob('lib/python*/site-packages')
    (site/'borrowed.pth').write_text(sysconfig.get_path('purelib') + '\n')
    shutil.rmtree(source)
    return home/'bin'


def test_every_folder_of_the_package_is_packed():
    _, toml = settings_files()
    folders = {path.parent.relative_to(ROOT) for path in (ROOT/'asdvideo').rglob('*.py')}
    wanted = {'.'.join(folder.parts) for folder in folders} | {'asdvideo.data'}
    assert set(toml['tool']['setuptools']['packages']) == wanted


def test_the_installed_package_is_another_one(installed, tmp_path):
    code = 'import asdvideo.files as f; print(f.__file__, f.data_path(), f.revision())'
    done = run(installed/'python', '-c', code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    package, data, *revision = done.stdout.split()
    assert str(installed.parent) in package and str(ROOT) not in package
    assert Path(data) == Path(package).parent/'data' and (Path(data)/'digits.npz').is_file()
    assert revision == ['asdvideo', asdvideo.__version__]
    packed, kept = ({p.name for p in folder.glob('weights/*.safetensors')} for folder in (Path(data), ROOT/'data'))
    assert packed == kept


def test_help_works_anywhere(installed, tmp_path):
    done = run(installed/'asdvideo', '--help', cwd=tmp_path)
    assert done.returncode == 0 and 'sample' in done.stdout, done.stderr


COMMANDS = {
    'sample': ('sample', '--out', 'film.mp4'),
    'evaluate': ('evaluate', '--videos', '32', '--json', 'result.json'),
    'verify': ('verify', '--room', 'flow'),
    'toy': (
        'toy', '--steps', '2', '--wait', '0', '--start-steps', '2', '--videos', '50', '--marks', '0', '--out', 'toy',
    ),
}

@pytest.mark.parametrize('name', COMMANDS)
def test_commands_work_anywhere(installed, tmp_path, name):
    done = run(installed/'asdvideo', *COMMANDS[name], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
