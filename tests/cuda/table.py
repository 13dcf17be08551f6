"The rows of a result as text."
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from checks import ERROR, FAILED, FIGURE, LEFT_OUT, OK, Row


def number(row: Row) -> str:
    "The value with its unit."
    return '' if row.value is None else f'{row.value:.3g} {row.unit}'.strip()


def bound(row: Row) -> str:
    "The bound in words."
    if row.most is not None:
        return f'at most {row.most:g}'
    return '' if row.least is None else f'at least {row.least:g}'


def one_line(row: Row) -> str:
    "A row for the terminal."
    words = [f'{row.verdict:8}', f'{row.part}: {row.check}', row.what, number(row), bound(row), row.note]
    return '  '.join(word for word in words if word)


def summary(rows: Sequence[Row]) -> str:
    "How many rows there are of each verdict."
    found = Counter(row.verdict for row in rows)
    return ', '.join(f'{found[verdict]} {verdict}' for verdict in (OK, FAILED, ERROR, LEFT_OUT, FIGURE))


def markdown(facts: dict, rows: Sequence[Row]) -> str:
    "The whole result: what the machine is, a summary, and a table, with failures first."
    about = ', '.join(f'{name} {value}' for name, value in facts.items() if value is not None)
    lines = ['# What a device does', '', f'{about}.', '', f'{summary(rows)}.', '']
    lines += ['| part | check | what | value | bound | verdict | note |', '|---|---|---|---|---|---|---|']
    bad = [row for row in rows if row.verdict in (FAILED, ERROR)]
    for row in [*bad, *(row for row in rows if row not in bad)]:
        cells = [row.part, row.check, row.what, number(row), bound(row), row.verdict, row.note.replace('|', '/')]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'
