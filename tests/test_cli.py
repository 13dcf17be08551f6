"The frame of the command line: help, mistakes, errors, exit codes. What commands do is tested beside what they call."
import dataclasses
import itertools
import subprocess
import sys
import typing
from dataclasses import dataclass

import pytest
import torch

from asdvideo import commands
from asdvideo.cli import COMMANDS, main, parse
from asdvideo.commands import KINDS, Command, Flat
from asdvideo.errors import AsdError
from asdvideo.files import writable
from asdvideo.settings import Settings, setting
from asdvideo.stopping import Stopped


def options(kind: type[Settings], prefix: str = '') -> list[tuple[str, typing.Any, dataclasses.Field]]:
    "Every option of a command: its name, its type, its field."
    hints, found = typing.get_type_hints(kind), []
    notes = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        name = field.name.replace('_', '-')
        if isinstance(field.default, Settings):
            flat = Flat in getattr(notes[field.name], '__metadata__', ())
            found += options(type(field.default), prefix if flat else f'{prefix}{name}.')
        else:
            found.append((f'--{prefix}{name}', hints[field.name], field))
    return found


@pytest.mark.parametrize('name', COMMANDS)
def test_help_shows_every_setting(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*name.split(), '--help'])
    assert not stop.value.code
    text = capsys.readouterr().out
    assert KINDS[name].__doc__.split('.')[0][:60] in ' '.join(text.split())
    for option, _, field in options(KINDS[name]):
        assert option in text and field.metadata['help'].split()[0] in text
    assert text.count('(default') >= len(options(KINDS[name])) - text.count('how ')


def test_overview_loads_nothing():
    code = 'import sys; from asdvideo.cli import main; main(["--help"]); print({"torch", "tyro"} & set(sys.modules))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == 'set()' and all(name in done.stdout for name in COMMANDS)


def test_words_that_are_no_command(capsys):
    for words in (['smaple'], ['train', 'dmdd'], ['--sample'], ['train', '--steps', '3'], ['']):
        assert main(words) == 2
        out, err = capsys.readouterr()
        assert not out and err.count('\n') == 1 and 'expected one of' in err
    assert main(['--version']) == main([]) == main(['train']) == main(['train', '-h']) == 0


def bad_values(hint: typing.Any, field: dataclasses.Field) -> list[str]:
    "Texts that this option must refuse."
    kinds = {hint, *typing.get_args(hint)}
    if not {int, float} & kinds:
        return ['no such choice'] if field.metadata['choices'] else []
    bad = ['x', '', '٧', '1_0', '０', '--1', 'nan', 'inf', '-1', '1e400', '0x10', '½', "1; print('x')"]
    if float not in kinds:
        bad += ['1.5', '1e2', '9' * 30]
    return bad


CASES = [
    (name, option, value)
    for name, kind in KINDS.items()
    for option, hint, field in options(kind)
    for value in bad_values(hint, field)
]


def test_bad_values_end_in_one_line(capsys):
    some = list(itertools.islice(CASES, 0, None, 3))        # every third one is enough for the clock
    assert len(CASES) > 1000
    for name, option, value in some:
        with pytest.raises(AsdError) as caught:
            parse(KINDS[name], [option, value], name)
            pytest.fail(f'{name} {option} {value!r} was accepted')
        assert '\n' not in str(caught.value) and len(str(caught.value)) < 600
    assert not capsys.readouterr().err


def test_mistyped_options(capsys):
    for name, kind in KINDS.items():
        option, _, _ = options(kind)[0]
        for words in ([option[:-1] + 'zz', '1'], ['word'], [option], ['--device=', '--x']):
            assert main([*name.split(), *words]) == 2, f'{name} {words}'
            assert capsys.readouterr().err.count('\n') == 1


@dataclass(frozen=True)
class Trial(Command):
    "What a test asks for."

    how: str = setting('well', 'how it ends')
    out: str | None = setting(None, 'a file')

    def outputs(self) -> list[str]:
        "See `Command.outputs`."
        return commands.files(self.out)

    def run(self) -> int:
        "See `Command.run`."
        errors = {
            'asd': AsdError('x=1: expected\n 2.'),
            'stopped': Stopped('dmd: stopped.'),
            'interrupt': KeyboardInterrupt(),
            'memory': torch.OutOfMemoryError('CUDA out of memory'),
            'allocator': RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            'fault': ZeroDivisionError('ours'),
        }
        if self.how in errors:
            raise errors[self.how]
        print('done')
        return 0


@pytest.fixture
def trial(monkeypatch):
    monkeypatch.setitem(KINDS, 'sample', Trial)
    return lambda *words: main(['sample', *words])


def test_exit_codes(trial, capsys):
    assert trial() == 0 and capsys.readouterr().out == 'done\n'
    assert trial('--how', 'asd') == 2 and capsys.readouterr().err == 'asdvideo: x=1: expected 2.\n'
    assert trial('--how', 'stopped') == 130 and capsys.readouterr().err == 'asdvideo: dmd: stopped.\n'
    assert trial('--how', 'interrupt') == 130 and 'Traceback' not in capsys.readouterr().err
    for how in ('memory', 'allocator'):
        assert trial('--how', how) == 1
        err = capsys.readouterr().err
        assert 'Traceback' in err and 'Lower --batch' in err
    with pytest.raises(ZeroDivisionError):
        trial('--how', 'fault')


def test_a_closed_pipe_is_no_fault():
    code = 'import sys; from asdvideo.cli import main; sys.exit(main(["train", "asd", "--help"]))'
    command = ['sh', '-c', '"$0" -c "$1" | head -1', sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert 'usage' in done.stdout and not done.stderr


def test_outputs_are_probed_before_the_work(trial, capsys, tmp_path):
    (tmp_path/'file').write_text('')
    for path in (tmp_path, tmp_path/'file'/'below.json', '/proc/x.json'):
        assert trial('--out', str(path)) == 2
        out, err = capsys.readouterr()
        assert not out and err.count('\n') == 1 and str(path) in err


def test_every_command_knows_its_outputs(tmp_path):
    for name, kind in KINDS.items():
        changes = {'prompts': __file__} if name == 'embed' else {}
        changes |= {field: str(tmp_path/name) for field in ('folder', 'out') if field in kind.__dataclass_fields__}
        if name == 'sample':
            changes['out'] = str(tmp_path/'film.mp4')
        for path in kind(**changes).outputs():
            assert writable(path)
