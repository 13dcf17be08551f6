"""`verify` must be able to fail: the identities must notice every mutant, those of its own notebook first."""

from __future__ import annotations

import inspect

import pytest
from mutants import MUTANTS, Mutant, broken, forget, place_of

from asdvideo.verify import base


def order(where: str) -> list[base.Identity]:
    "All identities: those of the notebook where a function stands first, and cheap precisions before others."
    module = where.partition(':')[0]

    def rank(one: base.Identity) -> tuple[bool, bool]:
        return not one.notebook.endswith(f'_{module}'), one.name.endswith(('(fp64)', '(bf16)'))

    return sorted(base.known(), key=rank)


def caught_by(where: str) -> str | None:
    "The first identity that fails now; None if all hold."
    return next((one.name for one in order(where) if not base.check(one).ok), None)


@pytest.mark.parametrize('one', base.known(), ids=[one.name for one in base.known()])
def test_identity_holds(one: base.Identity) -> None:
    row = base.check(one)
    assert row.ok, base.table([row])


@pytest.mark.parametrize('name', MUTANTS)
def test_mutant_is_caught(name: str) -> None:
    with broken(MUTANTS[name]):
        assert caught_by(MUTANTS[name].where), f'no identity notices that {name}'


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
    names = {one.name.split(' (')[0] for one in base.known()}
    assert len(names) >= 90 and len(MUTANTS) >= 190
    assert all(len(one.sentence) > 20 and one.notebook[:2].isdigit() for one in base.known())
