"""Measure how fast the exported page shows frames: python tests/browser/measure.py; writes data/results/browser.json.

Needs Chromium, node, npm and the extra onnx. The page is that of `asdvideo export` with the shipped student `asd`.
"""
import asyncio
import http.server
import json
import os
import subprocess
import tempfile
import threading
from functools import partial
from pathlib import Path

import torch

from asdvideo.bench import machine
from asdvideo.export import RUNTIME_VERSION, export_page
from asdvideo.files import data_path, save_json
from asdvideo.sampling import load


class Quiet(http.server.SimpleHTTPRequestHandler):
    "A file server that logs nothing."

    def log_message(self, *words):
        "Nothing."


def files_server(folder: str | Path) -> http.server.ThreadingHTTPServer:
    """A plain file server on a free port of this machine, in a thread.

    folder: what it serves.
    """
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


async def drive(script: str, browser: tuple[Path, str], address: str, picture: str | Path, limit: float = 240) -> dict:
    """What a script in this folder has measured in a browser.

    script: its name.
    browser: a folder whose node_modules have playwright-core, and Chromium; see `conftest.find_browser`.
    address: of the page.
    picture: where a picture of the page goes.
    limit: seconds; a script that hangs is ended.
    """
    folder, chromium = browser
    words = 'node', Path(__file__).parent/script, folder/'node_modules', address, chromium, picture
    process = await asyncio.create_subprocess_exec(*map(str, words), stdout=subprocess.PIPE)
    try:
        out, _ = await asyncio.wait_for(process.communicate(), limit)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0
    return json.loads(out)


def inputs_file(net: torch.nn.Module, folder: str | Path) -> dict:
    """Write inputs of one pass for the page, and return them.

    net: the student.
    folder: of the page.
    """
    from asdvideo.export import ChunkPass

    inputs, plain = ChunkPass(net).example(2, start=4), {}
    for name, x in inputs.items():
        kind = 'int32' if name == 'labels' else 'float32'
        plain[name] = {'type': kind, 'dims': list(x.shape), 'data': x.flatten().tolist()}
    (Path(folder)/'inputs.json').write_text(json.dumps(plain))
    return inputs


def record(facts: dict, name: str) -> dict:
    """The measured frame rate with its conditions, for data/results.

    facts: from `export.mjs`.
    name: of the student.
    """
    where = {**machine(torch.device('cpu')), 'browser': facts['version'], 'onnxruntime_web': RUNTIME_VERSION}
    return {'machine': where, 'student': name, 'steps': '1', 'clock': 60, 'frames_per_second': round(facts['rate'], 1)}


if __name__ == '__main__':
    import sys

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from conftest import find_browser

    os.environ.setdefault('OMP_NUM_THREADS', '1')
    sampler = load('asd', 'cpu')
    with tempfile.TemporaryDirectory() as folder:
        export_page(sampler.endless, sampler.step_list, folder, sampler.name)
        inputs_file(sampler.endless, folder)
        server = files_server(folder)
        address = f'http://127.0.0.1:{server.server_address[1]}/'
        facts = asyncio.run(drive('export.mjs', find_browser(), address, f'{folder}/page.png'))
        server.shutdown()
    result = record(facts, sampler.name)
    path = save_json(data_path('results', 'browser.json'), result)
    print(f'Wrote {path}: {result["frames_per_second"]} frames per second.')
