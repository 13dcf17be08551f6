"The package is generated from the notebooks, the README from the index, and two settings files agree."
import configparser, json, os, re, shutil, subprocess, sys
from pathlib import Path

import pytest

try: import tomllib
except ModuleNotFoundError: tomllib = pytest.importorskip('tomli')

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT/'nbs').glob('*.ipynb'))


def cells(path): return json.loads(path.read_text())['cells']
def sources(path): return [''.join(c['source']) for c in cells(path)]


def test_package_is_what_the_notebooks_export(tmp_path):
    for name in ('settings.ini', 'pyproject.toml'): shutil.copy(ROOT/name, tmp_path)
    shutil.copytree(ROOT/'nbs', tmp_path/'nbs')
    env = {k: v for k, v in os.environ.items() if k != 'IN_TEST'}
    subprocess.run([sys.executable, '-c', 'from nbdev.export import nb_export; from nbdev.doclinks import nbdev_export; nbdev_export()'], cwd=tmp_path, env=env, check=True)
    made, kept = ({p.name: p.read_text() for p in (base/'asdvideo').glob('*.py')} for base in (tmp_path, ROOT))
    assert len(made) > 10
    assert made.keys() == kept.keys(), 'run nbdev_export, and delete modules whose notebook is gone'
    for name in made: assert made[name] == kept[name], f'asdvideo/{name} differs from its notebook: run nbdev_export'


def test_one_module_per_notebook():
    names = [m for p in NOTEBOOKS for s in sources(p) for m in re.findall(r'^#\| default_exp (\S+)', s, re.M)]
    assert len(names) == len(set(names)) > 10


def test_settings_agree():
    ini = configparser.ConfigParser(); ini.read(ROOT/'settings.ini'); ini = ini['DEFAULT']
    toml = tomllib.loads((ROOT/'pyproject.toml').read_text())
    nbdev, project = toml['tool']['nbdev'], toml['project']
    for key in ('lib_path', 'nbs_path', 'tst_flags'): assert ini[key] == nbdev[key]
    assert ini['lib_name'] == project['name'] and ini['description'] == project['description']
    assert project['requires-python'] == f">={ini['min_python']}"


def test_readme_is_the_index():
    from asdvideo.book import readme
    assert (ROOT/'README.md').read_text() == readme(), 'run make notebooks'


@pytest.mark.parametrize('path', NOTEBOOKS, ids=[p.stem for p in NOTEBOOKS])
def test_notebook_is_clean(path):
    for cell in cells(path):
        assert cell['metadata'] == {} and cell.get('execution_count') is None
        for out in cell.get('outputs', []):
            assert out['output_type'] != 'error' and out.get('name') != 'stderr'
            assert 'application/vnd.jupyter.widget-view+json' not in out.get('data', {})
    assert path.stat().st_size < 600_000


@pytest.mark.parametrize('path', NOTEBOOKS, ids=[p.stem for p in NOTEBOOKS])
def test_notebook_reads_well(path):
    text = sources(path)
    first = text[0].splitlines()
    assert len(first) == 2 and first[0].startswith('# ') and first[1].startswith('> ')
    for target in re.findall(r'\]\((\w+\.ipynb)\)', '\n'.join(text)): assert (path.parent/target).exists(), f'{path.name} links to {target}'
    if path.stem != 'index': assert 'You are here' in text[1]
    code = [s for c, s in zip(cells(path), text) if c['cell_type'] == 'code']
    assert len(text) <= 90 and all(len(s.splitlines()) <= 110 for s in code)


def test_notebooks_lead_to_each_other():
    chain = [p.stem for p in NOTEBOOKS if re.match(r'\d', p.stem) and not p.stem.startswith('9')]
    for before, path, after in zip(chain, chain[1:], chain[2:]):
        line = next(s for s in sources(ROOT/'nbs'/f'{path}.ipynb') if s.startswith('**You are here.**'))
        assert line.startswith(f'**You are here.** [{before}]({before}.ipynb) ◂ · ▸ [{after}]({after}.ipynb)'), f'{path}: {line[:90]}'
