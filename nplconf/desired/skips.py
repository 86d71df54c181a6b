"""The rows of `skipped`: one per Service, Pod and reason, for any number of ports. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from nplconf.model import Skipped

MOST = 1_000
"""Rows of a plan. What is more is counted in a last row."""
_Key = tuple[str, str | None, str]


class Skips:
    """Collects rows. Rows of one Service, Pod and reason become one row, that of the first port."""

    def __init__(self) -> None:
        self._first: dict[_Key, Skipped] = {}
        self._ports: dict[_Key, set[tuple[int | str, str]]] = {}
        self._more: dict[_Key, int] = {}
        self._left_out = 0

    def add(self, rows: Iterable[Skipped]) -> None:
        """Add rows of any Pods."""
        for row in rows:
            key = row.service, row.pod, row.reason
            first = self._first.setdefault(key, row)
            if _place(row) < _place(first):
                self._first[key] = row
            self._ports.setdefault(key, set()).add((row.pod_port, row.protocol))
            self._more[key] = self._more.get(key, 0) + row.more

    def add_in_order(self, rows: Iterable[Skipped]) -> None:
        """Add the rows of one Pod after those of all Pods before it. Rows beyond `MOST` are only counted."""
        for row in rows:
            if len(self._first) > MOST:
                self._left_out += 1
            else:
                self.add((row,))

    def rows(self) -> tuple[Skipped, ...]:
        """Return the rows, sorted; at most `MOST`, and one with the number of those left out."""
        found = in_order(self._row(key) for key in self._first)
        rest = len(found[MOST:]) + self._left_out
        if not rest:
            return found
        message = f"and {rest:,} more rows"
        return (*found[:MOST], Skipped(None, 0, "", "", "and-more", message, more=rest))

    def _row(self, key: _Key) -> Skipped:
        more = len(self._ports[key]) - 1 + self._more[key]
        return self._first[key] if self._first[key].more == more else replace(self._first[key], more=more)


def in_order(rows: Iterable[Skipped]) -> tuple[Skipped, ...]:
    """Return rows in the order of plans."""
    return tuple(sorted(rows, key=_place))


def _place(row: Skipped) -> tuple[str, str, int, str, str, str, str, str]:
    """Return the sort key of a row: no Pod before any, and the number of a port before a name."""
    number, name = (row.pod_port, "") if isinstance(row.pod_port, int) else (0, row.pod_port)
    return row.pod or "", name, number, row.protocol, row.service, row.reason, row.message, row.rule or ""
