"The rules of the house: all comes from notebooks, lines and functions are short, everything is typed and explained."
import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlparse

import pytest

from house import (
    MODULES,
    NAMES,
    NOTEBOOKS,
    ROOT,
    body_length,
    cells,
    code_cells,
    functions,
    module_of,
    report,
    settings_files,
    tracked,
    tree,
    written,
)

LIMIT = 120
LONGEST = 40


def run(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    "Run a module of this Python; its output is text."
    env = {name: value for name, value in os.environ.items() if name != 'IN_TEST'}   # with it nbdev exports nothing
    return subprocess.run([sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True)


# where everything comes from

def test_package_is_what_the_notebooks_export(tmp_path):
    for name in ('settings.ini', 'pyproject.toml'):
        shutil.copy(ROOT/name, tmp_path)
    shutil.copytree(ROOT/'nbs', tmp_path/'nbs', ignore=shutil.ignore_patterns('.ipynb_checkpoints'))
    (tmp_path/'asdvideo').mkdir()
    shutil.copy(ROOT/'asdvideo'/'__init__.py', tmp_path/'asdvideo')
    done = run('-c', 'from nbdev.doclinks import nbdev_export; nbdev_export()', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = {path.relative_to(tmp_path): path.read_text() for path in (tmp_path/'asdvideo').rglob('*.py')}
    kept = {path.relative_to(ROOT): path.read_text() for path in MODULES}
    assert len(made) > 20
    assert made.keys() == kept.keys(), 'run nbdev_export, and delete modules whose notebook is gone'
    different = [str(name) for name in made if made[name] != kept[name]]
    assert not different, f'{different} differ from their notebooks: run nbdev_export'


def test_the_init_file_holds_nothing_but_the_door():
    lines = [line for line in (ROOT/'asdvideo'/'__init__.py').read_text().splitlines() if line]
    assert len(lines) <= 8 and lines[1].startswith('__version__')
    assert 'class ' not in ''.join(lines) and 'def ' not in ''.join(lines)


def test_stub_is_what_the_interface_says():
    import asdvideo
    from asdvideo.interface import HOME, stub
    assert (ROOT/'asdvideo'/'__init__.pyi').read_text() == stub(), 'write stub() of asdvideo.interface into it'
    assert all(getattr(asdvideo, name) is not None for name in HOME)


def test_one_module_for_each_notebook():
    modules = [module_of(path) for path in NOTEBOOKS if module_of(path)]
    assert len(modules) == len(set(modules)) > 20


def test_settings_files_agree():
    ini, toml = settings_files()
    nbdev, project = toml['tool']['nbdev'], toml['project']
    assert all(ini[name] == nbdev[name] for name in ('lib_path', 'nbs_path', 'tst_flags'))
    assert ini['lib_name'] == project['name'] and ini['description'] == project['description']
    assert project['requires-python'] == f'>={ini["min_python"]}'
    assert ini['keywords'].split() == project['keywords']


def test_what_is_needed_is_pinned():
    _, toml = settings_files()
    project = toml['project']
    groups = (project['dependencies'], *project['optional-dependencies'].values())
    names = {re.match(r'[\w.-]+', entry)[0].lower() for group in groups for entry in group}
    pins = (ROOT/'.ci'/'constraints.txt').read_text().splitlines()
    pinned = {line.partition('==')[0].lower() for line in pins if '==' in line}
    free = names - pinned - {'asdvideo'}
    assert not free, f'without a pin in .ci/constraints.txt: {free}'


def test_nothing_tells_about_a_machine():
    index = os.environ.get('PIP_INDEX_URL') or run('-m', 'pip', 'config', 'get', 'global.index-url').stdout.strip()
    host = urlparse(index).hostname or 'pypi.org'
    words = {str(ROOT), str(Path.home()) if len(str(Path.home())) > 5 else str(ROOT), host} - {'pypi.org'}
    paths = re.compile(r'(?<![\w.~}])/(?:work|root|home|Users)/\w')
    for path in tracked():
        if path.suffix in ('.safetensors', '.npz', '.png', '.mp4', '.gif'):
            continue
        text = path.read_text(errors='replace')
        found = [word for word in words if word in text] + paths.findall(text)
        assert not found, f'{path.relative_to(ROOT)}: {found}'


# how it reads

@pytest.mark.parametrize('path', NOTEBOOKS, ids=NAMES)
def test_notebook_has_the_shape_of_a_lesson(path):
    assert cells(path)[0]['cell_type'] == 'markdown'
    first = cells(path)[0]['source'].strip().splitlines()
    title = first[0].startswith('# ')
    said = any(line.startswith('> ') for line in first) or cells(path)[1]['source'].startswith('> ')
    assert title and said, 'begin with a title and with a sentence that starts with >'
    for target in re.findall(r'\]\((\w+\.ipynb)', '\n'.join(cell['source'] for cell in cells(path))):
        assert (path.parent/target).exists(), f'a link to {target}, which does not exist'


FRAME = ('Where you are', 'What it costs', 'What you can do afterwards')


def lacks(path: Path) -> set[str]:
    "What a notebook has not: a bold sentence of its frame, a recap, or the end of a fold in the fold's own cell."
    words = [cell['source'] for cell in cells(path) if cell['cell_type'] == 'markdown']
    whole = '\n'.join(words)
    line = re.sub(r'\s+', ' ', whole)
    missing = {name for name in FRAME if not re.search(rf'\*\*{name}[.:]\*\*', line)}
    if not re.search(r'^(## Recap|\*\*Recap)', whole, re.M):
        missing.add('recap')
    if any(text.count('<details') != text.count('</details>') for text in words):
        missing.add('fold')
    return missing


@pytest.mark.parametrize('path', [path for path in NOTEBOOKS if path.stem != 'index'])
def test_notebook_has_its_frame(path):
    assert not lacks(path)


@pytest.mark.parametrize('path', NOTEBOOKS, ids=NAMES)
def test_notebook_is_clean(path):
    for cell in cells(path):
        assert not cell['metadata'] and cell.get('execution_count') is None
        for out in cell.get('outputs', []):
            assert out['output_type'] != 'error' and out.get('name') != 'stderr'
            assert 'application/vnd.jupyter.widget-view+json' not in out.get('data', {})
    assert path.stat().st_size < 800_000


@pytest.mark.parametrize('path', NOTEBOOKS, ids=NAMES)
def test_cell_imports_or_computes(path):
    for source in code_cells(path):
        if source.startswith('#| export'):
            continue        # constants and type aliases may follow the imports
        kinds = {isinstance(node, (ast.Import, ast.ImportFrom)) for node in tree(source).body}
        assert len(kinds) < 2, f'a cell that imports and computes:\n{source[:200]}'


def test_no_line_is_too_long():
    long = []
    for path in NOTEBOOKS:
        lines = [line for source in code_cells(path) for line in source.splitlines()]
        long += [f'{path.name}: {line}' for line in lines if len(line) > LIMIT]
    for path in MODULES:
        if path.name != '_modidx.py':
            long += [f'{path.name}: {line}' for line in written(path) if len(line) > LIMIT]
    assert not long, '\n'.join(long)


def test_no_function_is_too_long():
    long = []
    for path in NOTEBOOKS:
        found = [f for source in code_cells(path) for f in functions(source)]
        long += [f'{path.stem}: {f.name}, {body_length(f)} lines' for f in found if body_length(f) > LONGEST]
    assert not long, '\n'.join(long)


def test_the_report_names_every_room():
    text = report()
    rooms = [path for path in MODULES if path.name != '_modidx.py']
    assert all(str(path.relative_to(ROOT)) in text for path in rooms) and 'longest functions' in text


def test_ruff_finds_nothing():
    done = run('-m', 'ruff', 'check', '--output-format', 'concise', '.')
    assert done.returncode == 0, done.stdout


def test_types_fit(tmp_path):
    done = run('-m', 'mypy', '--package', 'asdvideo', '--cache-dir', str(tmp_path))
    assert done.returncode == 0, done.stdout


# what is used and what is explained

def part(stem: str) -> int:
    "The part of the book that a notebook belongs to: the tens of its number; the index comes last."
    return int(stem[0]) if stem[0].isdigit() else 9


def test_nothing_comes_from_a_later_part():
    "Part 0 is a tour through everything."
    home = {f'asdvideo.{module_of(path)}': path.stem for path in NOTEBOOKS if module_of(path)}
    early = []
    for path in NOTEBOOKS:
        if part(path.stem) == 0:
            continue                # the first part shows the whole
        nodes = [node for source in code_cells(path) for node in tree(source).body]      # not inside functions
        used = {home[node.module] for node in nodes if isinstance(node, ast.ImportFrom) and node.module in home}
        early += [f'{path.stem} uses {stem}' for stem in sorted(used) if 0 < part(path.stem) < part(stem) < 6]
    assert not early, '\n'.join(early)


def parameters(function: ast.FunctionDef) -> list[str]:
    "The names of the parameters of a function, without self and cls."
    a = function.args
    listed = [*a.posonlyargs, *a.args, *a.kwonlyargs, *(extra for extra in (a.vararg, a.kwarg) if extra)]
    return [arg.arg for arg in listed if arg.arg not in ('self', 'cls') and not arg.arg.startswith('_')]


# These words mean the same wherever they stand; a method of one sentence need not explain them again.
WORDS = {
    'batch', 'cache', 'condition', 'device', 'draws', 'e', 'eps', 'frames', 'generator', 'grad', 'modulation', 'n',
    'net', 'rotary', 'rows', 'sigma', 'start', 'step', 'video', 'x', 'x0', 'xt',
}


def refers(text: str) -> bool:
    "Whether a docstring sends the reader to another one."
    return re.search(r"([Ss]ee|[Aa]s in|those of) `[\w.]+`", text) is not None


def unexplained(path: Path) -> list[str]:
    "What the docstrings of a module leave out."
    found: list[str] = []

    def missing(name: str, text: str | None, wanted: list[str]) -> None:
        if not text:
            found.append(f'{name} has no docstring')
        elif not refers(text):
            found.extend(f'{name} does not explain {w}' for w in wanted if not re.search(rf'\b{w}\b', text))

    def visit(node: ast.Module | ast.ClassDef, prefix: str) -> None:
        public = [n for n in node.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name[0] != '_']
        for n in public:
            name = f'{prefix}.{n.name}'
            text = ast.get_docstring(n)
            if isinstance(n, ast.FunctionDef):
                short = isinstance(node, ast.ClassDef) and not re.search(r'^\w+: ', text or '', re.M)
                missing(name, text, [p for p in parameters(n) if not (short and p in WORDS)])
                continue
            inits = [m for m in n.body if isinstance(m, ast.FunctionDef) and m.name == '__init__']
            missing(name, text, [p for m in inits for p in parameters(m)])
            visit(n, name)

    visit(ast.parse(path.read_text()), path.stem)
    return found


def test_every_parameter_is_explained():
    gaps = {gap for path in MODULES if path.name[0] != '_' for gap in unexplained(path)}
    assert not gaps, '\n'.join(sorted(gaps))


def test_the_check_of_docstrings_can_fail(tmp_path):
    bad = tmp_path/'bad.py'
    bad.write_text('def f(x, y):\n    "Only x."\n\ndef g():\n    pass\n')
    assert unexplained(bad) == ['bad.f does not explain y', 'bad.g has no docstring']
