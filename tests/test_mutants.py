"""`verify` must be able to fail: every mutant of `mutants.py` is noticed by the identity that `caught.json` names.

`python tests/test_mutants.py` looks for these identities again, and writes the file.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from mutants import MUTANTS, Mutant, broken, forget, place_of
from tqdm import tqdm

from asdvideo.verify import base

FILE = Path(__file__).with_name('caught.json')
CAUGHT = json.loads(FILE.read_text())
IDENTITIES = {one.name: one for one in base.known()}


@pytest.mark.parametrize('name', IDENTITIES)
def test_identity_holds(name: str) -> None:
    row = base.check(IDENTITIES[name])
    assert row.ok, base.table([row])


@pytest.mark.parametrize('name', MUTANTS)
def test_mutant_is_caught(name: str) -> None:
    with broken(MUTANTS[name]):
        assert not base.check(IDENTITIES[CAUGHT[name]]).ok, f'{CAUGHT[name]} does not notice that {name}'


def test_mutants_leave_no_trace() -> None:
    for mutant in MUTANTS.values():
        _, owner, name = place_of(mutant.where)
        before = inspect.getattr_static(owner, name)
        with broken(mutant):
            assert inspect.getattr_static(owner, name) is not before
        assert inspect.getattr_static(owner, name) is before
    forget()
    assert base.run(room='flow')[0].ok


def test_a_mutant_that_is_out_of_date_is_an_error() -> None:
    with pytest.raises(AssertionError, match='out of date'), broken(Mutant('flow:add_noise', 'no such text', '')):
        pass


def test_there_are_as_many_as_we_say() -> None:
    names = {name.split(' (')[0] for name in IDENTITIES}
    assert len(names) >= 90 and len(MUTANTS) >= 190 and CAUGHT.keys() == MUTANTS.keys()
    assert all(len(one.sentence) > 20 and one.notebook[:2].isdigit() for one in IDENTITIES.values())


def catcher(mutant: Mutant) -> str | None:
    "The first identity that notices a mutant; those of the notebook where it was made are asked first."
    module = mutant.where.partition(':')[0]

    def rank(one: base.Identity) -> tuple[bool, bool]:
        return not one.notebook.endswith(f'_{module}'), one.name.endswith(('(fp64)', '(bf16)'))

    with broken(mutant):
        return next((one.name for one in sorted(base.known(), key=rank) if not base.check(one).ok), None)


if __name__ == '__main__':
    found = {name: catcher(mutant) for name, mutant in tqdm(MUTANTS.items())}
    FILE.write_text(json.dumps(found, indent=1) + '\n')
    print(f'{FILE}: not noticed: {[name for name, by in found.items() if by is None]}')
