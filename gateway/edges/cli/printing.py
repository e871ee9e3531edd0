"""Standard output: one JSON document, or for people a table; tab-separated where no person looks."""

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

_WIDEST: Final = 1000


def print_json(document: Mapping[str, object]) -> None:
    """One document and nothing else; indented for a person."""
    import orjson

    indent = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
    sys.stdout.write(orjson.dumps(document, option=indent | orjson.OPT_APPEND_NEWLINE).decode())
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Iterable[str] = ()) -> None:
    """Rows under their columns; those named in `numbers` are set to the right."""
    texts = [[_text(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in (list(columns), *texts):
            print("\t".join(line))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    right = frozenset(numbers)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for line in texts:
        table.add_row(*line)
    # Names are an account's own words: no markup is read in them. An id that was folded could not be copied.
    Console(markup=False, highlight=False, emoji=False, width=_WIDEST).print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """One thing, line by line."""
    width = max(map(len, facts)) + 1
    for name, value in facts.items():
        print(f"{name + ':':<{width}} {_text(value)}")


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """RFC 4180, with a head line."""
    from gateway.edges.documents.sheet import harmless

    writer = csv.writer(sys.stdout, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([harmless(cell) for cell in row] for row in rows)


def _text(value: object) -> str:
    return "-" if value is None else str(value)
