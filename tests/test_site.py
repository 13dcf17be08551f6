"The site: it builds without a warning, and a browser finds everything in it, from disk, without any other host."
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from asdvideo.book import pictures, readme
from house import NOTEBOOKS, ROOT


def test_readme_is_the_first_notebook():
    assert (ROOT/'README.md').read_text() == readme(), 'run `python -m asdvideo.book readme`'


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> Path:
    "The site, built from the notebooks as they are stored."
    pytest.importorskip('sphinx_book_theme')
    folder = tmp_path_factory.mktemp('site')
    source = folder/'nbs'
    shutil.copytree(ROOT/'nbs', source, ignore=shutil.ignore_patterns('api', '.ipynb_checkpoints'))
    (folder/'asdvideo').symlink_to(ROOT/'asdvideo')
    command = [sys.executable, '-m', 'sphinx', '--fresh-env', '--quiet', source, folder/'site']
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, 'PYTHONWARNINGS': 'ignore'})
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if 'WARNING' in line and 'etoc.glob' not in line]
    assert not told, '\n'.join(told)
    return folder/'site'


def test_pages_are_there_and_small(site):
    pages = list(site.rglob('*.html'))
    assert {path.stem for path in NOTEBOOKS} <= {path.stem for path in pages}
    assert (site/'api'/'asdvideo.dmd.html').is_file() and (site/'searchindex.js').is_file()
    assert max(path.stat().st_size for path in pages) < 2_000_000


def test_pages_show_no_directives(site):
    for path in NOTEBOOKS:
        text = (site/f'{path.stem}.html').read_text()
        assert '<span class="c1">#| ' not in text, f'{path.stem} shows a directive'
        assert (site/'_sources'/f'{path.name}').is_file(), 'no notebook to download'


def html_outputs(path: Path) -> list[str]:
    "The figures of a notebook that are HTML with a script."
    outputs = [out for cell in nbformat.read(path, 4).cells for out in cell.get('outputs', [])]
    found = [''.join(out.get('data', {}).get('text/html', '')) for out in outputs]
    return [html for html in found if '<script' in html]


FIGURES = {
    '13_flow', '17_cache', '18_schedule', '19_rollout', '22_law', '39b_verdict', '41_sampling', '45_player',
    '68_pictures',
}


def test_figures_to_turn_are_small_and_need_no_network():
    "Each also has a still picture in its notebook, for readers where no script runs."
    found = {path: html_outputs(path) for path in NOTEBOOKS}
    assert {path.stem for path, figures in found.items() if figures} >= FIGURES
    for path, figures in found.items():
        for html in figures:
            assert len(html) < 300_000, f'{path.stem}: {len(html)} bytes'
            assert not re.search(r'https?://', html), f'{path.stem} asks another host'
            assert '"image/png"' in path.read_text(), f'{path.stem} has no still picture'


def test_a_browser_finds_everything(site, browser):
    folder, chromium = browser
    command = ['node', ROOT/'tests'/'browser'/'site.mjs', folder, site, chromium]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen['pages'] >= len(NOTEBOOKS)
    assert not seen['requests'] and not seen['errors'] and not seen['latex'] and not seen['wide'], seen
    assert any('dmd' in target for target in seen['found'])
    assert seen['moved'] >= 10 and not seen['still'], f'sliders that change nothing: {seen["still"]}'


def test_pictures_of_the_first_page_are_those_of_the_notebooks():
    "A picture that the README shows is the stored output of a cell."
    found = {}
    for path in NOTEBOOKS:
        found |= pictures(nbformat.read(path, 4))
    shown = set(re.findall(r'nbs/_static/(\S+?\.png)', (ROOT/'README.md').read_text()))
    assert shown and shown <= found.keys()
    for name, picture in found.items():
        assert (ROOT/'nbs'/'_static'/name).read_bytes() == picture, f'{name}: run `python -m asdvideo.book save`'
