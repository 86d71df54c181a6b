"""Figures, as a table for a person and as JSON for whoever compares two of them."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

HEAD = ("WHAT", "FIGURE", "AIM", "", "BESIDE IT")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. beside: what it is compared with, in the same unit. aim: at most; None without."""

    group: str
    what: str
    value: float
    unit: str
    aim: float | None = None
    beside: tuple[tuple[str, float], ...] = ()

    @property
    def met(self) -> bool | None:
        """Whether the aim is; None without one."""
        return None if self.aim is None else self.value <= self.aim


def data(figures: Iterable[Figure]) -> dict[str, object]:
    """JSON-ready, with the machine that they are of."""
    rows = [
        {
            "group": f.group,
            "what": f.what,
            "value": round(f.value, 4),
            "unit": f.unit,
            "aim": f.aim,
            "met": f.met,
            "beside": {name: round(value, 4) for name, value in f.beside},
        }
        for f in figures
    ]
    return {"machine": machine(), "figures": rows}


def machine() -> dict[str, object]:
    """What the figures depend on."""
    output = subprocess.run(["iptables", "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "iptables": output.split()[1],
        "load": round(os.getloadavg()[0], 2),
    }


def text(figures: Iterable[Figure]) -> str:
    """A table, a heading for each group."""
    lines: list[str] = []
    group = ""
    found = list(figures)
    rows = [_row(f) for f in found]
    widths = [max(len(row[i]) for row in (*rows, HEAD)) for i in range(len(HEAD) - 1)]
    lines.append(_line(HEAD, widths))
    for figure, row in zip(found, rows, strict=True):
        if figure.group != group:
            group = figure.group
            lines.append(f"{group}:")
        lines.append(_line(row, widths))
    return "\n".join(lines) + "\n"


def as_json(figures: Iterable[Figure]) -> str:
    """The same as `data`, as text."""
    return json.dumps(data(figures), indent=2) + "\n"


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
    return ("  " + "  ".join((*cells, row[-1]))).rstrip()


def _row(figure: Figure) -> tuple[str, ...]:
    aim = "" if figure.aim is None else _number(figure.aim, figure.unit)
    met = {True: "met", False: "MISSED", None: ""}[figure.met]
    beside = ", ".join(f"{name} {_number(value, figure.unit)}" for name, value in figure.beside)
    return figure.what, _number(figure.value, figure.unit), aim, met, beside


def _number(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f} {unit}".rstrip()
