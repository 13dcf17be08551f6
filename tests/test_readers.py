"""Twenty questions for somebody who has read the book and nothing else, with answers and the cell that gives each.

Anyone can check a cold reading with them: tests/readers.json holds the question, the answer, the notebook, and phrases
that stand together in one cell of it. A reader should answer at least 18.
"""
import json
import re

import pytest

from house import ROOT, cells

READERS = json.loads((ROOT/'tests'/'readers.json').read_text())


def plain(text: str) -> str:
    "A text with single spaces."
    return re.sub(r'\s+', ' ', text)


def cell_with(notebook: str, phrases: list[str]) -> str:
    "The text of the first cell that holds all phrases; empty if there is none."
    for cell in cells(ROOT/'nbs'/f'{notebook}.ipynb'):
        text = plain(cell['source'])
        if all(plain(phrase) in text for phrase in phrases):
            return text
    return ''


def test_there_are_twenty_questions():
    assert len(READERS) == 20 and len({entry['question'] for entry in READERS}) == 20
    assert len({entry['notebook'] for entry in READERS}) >= 7, 'questions about many parts of the book'


@pytest.mark.parametrize('entry', READERS, ids=range(1, len(READERS) + 1))
def test_the_book_answers(entry):
    text = cell_with(entry['notebook'], entry['holds'])
    assert text, f'no cell of {entry["notebook"]} holds all of {entry["holds"]}'
    missing = [number for number in re.findall(r'(?<![\d.])\.\d+', entry['answer']) if number not in text]
    assert not missing, f'the answer says {missing}, the cell of {entry["notebook"]} does not'


def test_the_check_can_fail():
    entry = READERS[0]
    assert not cell_with(entry['notebook'], [*entry['holds'], 'a phrase that no cell has'])
