"""A review for a pull request: the JSON data of `plan`, `diff` and `apply` as Markdown that a forge accepts.

Deletes come first and are never cut. Everything else is cut where the comment would become too long, with the number of
rows left out. Names from the cluster are untrusted. Every text that may contain one is in code: a forge looks for
mentions, issue numbers and commits in the rendered text, where an HTML entity is a plain character again, but never
inside code.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from nplconf.characters import escaped
from nplconf.model import ACTIONS
from nplconf.plan.document import skipped_from_data

BYTES = 60_000
"""The limit of the text: a comment on GitHub may have 65,536 characters."""
_RESERVE = 200
"""Bytes of a section without rows: heading, table head, and the number of rows left out."""

_MARKUP = re.compile(r"[&<>|`\\*_~\[\]#@$]|(?<=[hHsSpP]):(?=//)|[wW](?=[wW]{2}\.)")
"""Characters with a meaning in Markdown, and https:// and www, which become links by themselves."""
_WORD = re.compile(r"(?:[a-z]{1,40}(?:-[a-z]{1,40}){0,9}|[0-9]{1,6})?")
"""Text in which no forge finds a link: no digit beside a letter, as in the short hash of a commit."""


class Section(NamedTuple):
    """One heading and its table. The cells are escaped."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def text(data: dict[str, Any]) -> str:
    """Return the JSON data of a review as Markdown, at most `BYTES` long unless the deletes alone are longer."""
    first, *others = [section for section in _sections(data) if section.rows or section.title == "To delete"]
    head = _head(data)
    room = BYTES - 1 - _size(head) - _RESERVE * len(others)
    parts = [*head, *_deletes(first, room)]
    room -= _size(parts[len(head) :])
    for section in others:
        lines = _fitted(section, room + _RESERVE)
        room -= _size(lines) - _RESERVE
        parts += lines
    return "\n".join(parts) + "\n"


def listing(data: dict[str, Any]) -> str:
    """Return the data of any other command as Markdown, at most `BYTES` long.

    Each list is a table. Everything else is in the summary.
    """
    lists = {name: found for name, found in data.items() if isinstance(found, list)}
    facts = [f"{name}: {_word(v)}" for name, v in data.items() if name not in lists and name != "node"]
    facts += [f"{len(found)} {name}" for name, found in lists.items()]
    title = f"# nplconf: {_code(data['node'])}" if "node" in data else "# nplconf"
    parts = [title, "", f"**{', '.join(facts)}**", ""]
    sections = [_section(name, found) for name, found in lists.items() if found]
    room = BYTES - 1 - _size(parts) - _RESERVE * len(sections)
    for section in sections:
        lines = _fitted(section, room + _RESERVE)
        room -= _size(lines) - _RESERVE
        parts += lines
    return "\n".join(parts) + "\n"


def cell(value: object) -> str:
    """Return a text that no Markdown reader takes for markup, a link, a mention or the end of a cell."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", escaped(str(value)))


def _code(value: object) -> str:
    """Return a text as code, in which a forge finds no mentions and links."""
    return f"<code>{cell(value)}</code>"


def _word(value: object) -> str:
    """Return a number or a word of nplconf unchanged, any other text as code, and "" for null."""
    plain = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return plain if _WORD.fullmatch(plain) else _code(plain)


# --- what there is to say --------------------------------------------------------------------------------------------


def _head(data: dict[str, Any]) -> list[str]:
    counts = data["summary"]
    actions = ["delete", "change", *(["repair"] if counts.get("repair") else []), "add"]
    words = ", ".join(f"{counts[action]} to {action}" for action in actions)
    lines = [f"# nplconf: {_code(data['node'])}", "", f"**{words}**, {counts['unchanged']} unchanged."]
    if "ok" in counts:
        lines += ["", " ".join(f"{name}={counts[name]}" for name in ("ok", "changed", "skipped", "failed"))]
    if "blocked" in data:
        lines += ["", f"> **Blocked:** <code>{cell(data['blocked']['message'])[:2000]}</code>"]
    return [*lines, ""]


def _sections(data: dict[str, Any]) -> Iterable[Section]:
    changes = {action: [c for c in data["changes"] if c["action"] == action] for action in ACTIONS}
    columns = ("Port", "Pod", "Address", "Services", "Why")
    yield Section("To delete", columns, tuple(map(_change, changes["delete"])))
    yield Section("To change", columns, tuple(map(_change, changes["change"])))
    yield Section("To repair", columns, tuple(map(_change, changes["repair"])))
    yield Section("To add", columns, tuple(map(_change, changes["add"])))
    yield Section("Blocked", columns, tuple(map(_change, data.get("blocked", {}).get("removals", ()))))
    yield Section("Failed", ("Step", "Subject", "Message"), _fields(data.get("failures", ()), "step subject message"))
    yield Section("Findings", ("Kind", "Subject", "Message"), _fields(data["findings"], "kind subject message"))
    yield Section("Stale", ("Port", "Pod", "Address", "Why"), tuple(map(_stale, data["stale"])))
    yield Section("Waiting for a review", ("Pod", "Protocol", "Why"), tuple(map(_pending, data["pending"])))
    draining = tuple(_stale(row | {"reason": "draining"})[:3] for row in data.get("draining", ()))
    yield Section("Draining", ("Port", "Pod", "Address"), draining)
    yield Section("Skipped", ("Pod", "Service", "Why", "Message"), tuple(map(_skipped, data["skipped"])))
    yield Section("Annotations", ("Pod", "Becomes"), tuple(map(_patch, data["patches"])))


def _change(found: dict[str, Any]) -> tuple[str, ...]:
    mapping, was = found["mapping"], found["was"] or found["mapping"]
    port, address = _port(mapping), _address(mapping)
    if was["nodePort"] != mapping["nodePort"]:
        port = f"{_code(was['nodePort'])} → {port}"
    if _address(was) != address:
        address = f"{_address(was)} → {address}"
    services = ", ".join(map(_code, mapping["services"]))
    why = _word(found["reason"]) + (", hostPort" if mapping["via"] == "hostPort" else "")
    return port, _pod(mapping["pod"], mapping["podPort"]), address, services, why


def _stale(found: dict[str, Any]) -> tuple[str, ...]:
    mapping = found["mapping"]
    return _port(mapping), _pod(mapping["pod"], mapping["podPort"]), _address(mapping), _word(found["reason"])


def _pending(found: dict[str, Any]) -> tuple[str, ...]:
    return _pod(found["pod"], found["podPort"]), _word(found["protocol"]), _word(found["reason"])


def _skipped(found: dict[str, Any]) -> tuple[str, ...]:
    port = skipped_from_data(found).ports if found["service"] else ""
    who = f"{found['pod']}:{port}" if found["pod"] else port
    rule = f" ({_code(found['rule'])})" if "rule" in found else ""
    return _code(who), _code(found["service"]), _word(found["reason"]) + rule, _code(found["message"])


def _patch(found: dict[str, Any]) -> tuple[str, ...]:
    becomes = "removed" if found["annotation"] is None else _code(found["annotation"])
    if condition := found.get("condition"):
        becomes += f", condition {_word(condition['status'])} ({_word(condition['reason'])})"
    return _code(f"{found['namespace']}/{found['name']}"), becomes


def _fields(rows: Iterable[dict[str, Any]], names: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(_word(row[name]) for name in names.split()) for row in rows)


def _port(mapping: dict[str, Any]) -> str:
    return _code(f"{mapping['protocol']}/{mapping['nodePort']}")


def _pod(pod: dict[str, Any], port: int) -> str:
    return _code(f"{pod['namespace']}/{pod['name']}:{port}") if pod["name"] else "an unknown Pod"


def _address(mapping: dict[str, Any]) -> str:
    ip = mapping["podIP"]
    return _code(f"[{ip}]:{mapping['podPort']}" if ":" in ip else f"{ip}:{mapping['podPort']}")


# --- any list --------------------------------------------------------------------------------------------------------


def _section(name: str, found: list[Any]) -> Section:
    rows = [_fields_of(row) for row in found]
    columns = tuple(dict.fromkeys(column for row in rows for column in row))  # rows may have different fields
    return Section(name.capitalize(), columns, tuple(tuple(row.get(column, "") for column in columns) for row in rows))


def _fields_of(row: Any) -> dict[str, str]:
    """Return the cells of a row by column name. A nested mapping becomes several columns."""
    if not isinstance(row, dict):
        return {"": _word(row)}
    if "mapping" in row:
        return _fields_of(row["mapping"]) | {name: _word(v) for name, v in row.items() if name != "mapping"}
    if "nodePort" in row:
        services = ", ".join(map(_code, row["services"]))
        pod, address = _pod(row["pod"], row["podPort"]), _address(row)
        return {"port": _port(row), "pod": pod, "address": address, "services": services, "via": _word(row["via"])}
    return {name: _word(value) for name, value in row.items()}


# --- what fits -------------------------------------------------------------------------------------------------------


def _deletes(section: Section, room: int) -> list[str]:
    """Return all deletes in the longest form that fits: the table, a line with port and Pod each, or the ports alone.

    If not even all ports fit, consecutive ports are joined.
    """
    if not section.rows:
        return []
    whole = [*_table_head(section), *map(_row, section.rows), ""]
    if _size(whole) <= room:
        return whole
    title = [f"## {section.title} ({len(section.rows)})", ""]
    short = [*title, "<pre>", *(f"{_bare(port)} {_bare(pod)}" for port, pod, *_ in section.rows), "</pre>", ""]
    ports = [*title, ", ".join(_bare(port) for port, *_ in section.rows), ""]
    return next((form for form in (short, ports) if _size(form) <= room), [*title, _ports(section), ""])


def _ports(section: Section) -> str:
    """Return the ports with consecutive ones joined, and each protocol once: tcp/61000-61044 61046, udp/61000."""
    keys = sorted({(protocol, int(number)) for protocol, number in map(_number, section.rows)})
    spans: dict[str, list[str]] = {}
    for _, run in groupby(enumerate(keys), key=lambda at: (at[1][0], at[1][1] - at[0])):
        numbers = [key for _, key in run]
        (protocol, first), (_, last) = numbers[0], numbers[-1]
        spans.setdefault(protocol, []).append(f"{first}-{last}" if last != first else f"{first}")
    return ", ".join(f"{protocol}/{' '.join(found)}" for protocol, found in spans.items())


def _number(row: Sequence[str]) -> tuple[str, str]:
    protocol, _, number = _bare(row[0]).partition("/")
    return protocol, number


def _bare(code: str) -> str:
    return code.removeprefix("<code>").removesuffix("</code>")


def _fitted(section: Section, room: int) -> list[str]:
    """Return the section with as many rows as fit into the given bytes."""
    lines = _table_head(section)
    room -= _size(lines) + 40  # the number of rows left out, and the empty line
    for at, row in enumerate(map(_row, section.rows)):
        room -= _size([row])
        if room < 0:
            left = f"{len(section.rows) - at} more"
            return [*lines[: None if at else 2], *([""] if at else []), left, ""]
        lines.append(row)
    return [*lines, ""]


def _table_head(section: Section) -> list[str]:
    return [
        f"## {section.title} ({len(section.rows)})",
        "",
        _row(section.columns),
        _row(("---",) * len(section.columns)),
    ]


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _size(lines: Iterable[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)
