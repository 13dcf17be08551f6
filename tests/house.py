"What the tests of the house read: notebooks, modules and tracked files."
import ast
import configparser
import json
import re
import subprocess
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:     # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT/'nbs').glob('*.ipynb'))
MODULES = sorted((ROOT/'asdvideo').rglob('*.py'))
NAMES = [path.stem for path in NOTEBOOKS]


def cells(path: Path) -> list[dict]:
    "The cells of a notebook, each with its source as one text."
    found = json.loads(path.read_text())['cells']
    return [{**cell, 'source': ''.join(cell['source'])} for cell in found]


def code_cells(path: Path) -> list[str]:
    "The sources of the code cells of a notebook."
    return [cell['source'] for cell in cells(path) if cell['cell_type'] == 'code']


def tree(source: str) -> ast.Module:
    "The syntax tree of a cell; lines for the shell and magics are left out."
    return ast.parse(re.sub(r'^[%!].*$', '', source, flags=re.M))


def module_of(path: Path) -> str:
    "The module that a notebook exports, without the name of the package; empty if there is none."
    found = re.search(r'^#\| default_exp (\S+)', '\n'.join(code_cells(path)), re.M)
    return found[1] if found else ''


def tracked() -> list[Path]:
    "All files that belong to the project."
    command = ['git', '-C', str(ROOT), 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
    listed = subprocess.run(command, capture_output=True, text=True)
    if listed.returncode:
        folders = [path for name in ('nbs', 'asdvideo', 'tests', '.ci') for path in (ROOT/name).rglob('*')]
        return [path for path in (*ROOT.iterdir(), *folders) if path.is_file()]
    return [ROOT/name for name in listed.stdout.split('\0') if name and (ROOT/name).is_file()]


def settings_files() -> tuple[dict, dict]:
    "What settings.ini and pyproject.toml say."
    ini = configparser.ConfigParser()
    ini.read(ROOT/'settings.ini')
    return dict(ini['DEFAULT']), tomllib.loads((ROOT/'pyproject.toml').read_text())
