"""The state file: what cannot be read from the kernel, and nothing that could disagree with it.

The last good plan, the cooling numbers and their owners, the boot they belong to, and the cluster's identity. Lost or
damaged it is rebuilt from the live rules' tags and the Pods' annotations.
"""

import json
import os
import stat
import zlib
from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from nplconf.errors import BadDataError, PermissionDeniedError
from nplconf.files import trusted as own
from nplconf.files import writing
from nplconf.model import FAMILIES, PROTOCOLS, Family, Plan, PodPort, PodRef, PortMapping, RuleKey
from nplconf.node import counters, reported
from nplconf.node import last_success as success
from nplconf.plan import document
from nplconf.plan.cooling import Cooling
from nplconf.plan.state import Alias, Loaded, State
from nplconf.publish.denials import Denial

VERSION = 1
FILE = "state.json"
MAX_BYTES = 256 << 20
"""Ten times the size for a full range of 65,000 ports. A larger file is not from nplconf."""


def load(directory: str) -> Loaded:
    """Return the state of the last run. It is empty without a file, and with a warning for a file of no use.

    A file is of no use if it is damaged, from another version, or not trusted. Then the state is rebuilt from the
    owners of the live rules.
    """
    path = Path(directory, FILE)
    try:
        text = own.read(path, MAX_BYTES).decode("utf-8")
    except FileNotFoundError:
        return Loaded(State())
    except (OSError, UnicodeDecodeError, BadDataError) as err:
        return Loaded(State(), warning=f"{path}: cannot be read ({_why(err)}); rebuilt from the live rules")
    try:
        return Loaded(_parse(text), text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        return Loaded(State(), warning=f"{path}: damaged ({_why(err)}); rebuilt from the live rules")


def save(directory: str, state: State, before: str) -> str:
    """Write the state atomically, unless the file has it already. Return its text.

    A state with `writing` is for a run after one that was killed. It need not be on the disk before the run goes on:
    after a power failure there are no rules, and the Pods' annotations have the numbers. The state at the end of the
    run is on the disk when this function returns. Waiting for a busy disk takes 1 to 20 ms.

    Args:
        directory: The state directory.
        state: The state.
        before: The text of the file.

    Raises:
        OSError: The file cannot be written.
    """
    text = _text(state)
    if text == before:
        return text
    writing.put(Path(directory, FILE), text.encode(), 0o600, durable=not state.writing)
    return text


def make_directory(directory: str) -> None:
    """Create the state directory if it is missing, for root alone: a user who can open it can lock it.

    Raises:
        PermissionDeniedError: It cannot be created.
    """
    try:
        if not Path(directory).is_dir():
            Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
            Path(directory).chmod(0o700)  # whatever the umask is
    except OSError as err:
        raise PermissionDeniedError(f"{directory}: the state directory cannot be made: {err.strerror}") from err


def openness(directory: str) -> "Openness | None":
    """Return how other users can open the state directory, and so block every run; None if they cannot.

    Raises:
        OSError: Its status cannot be read.
    """
    status = os.stat(directory)  # noqa: PTH116 one call for owner and mode
    fix = f"chown root: {_word(directory)} && chmod 700 {_word(directory)}"
    if status.st_uid not in (0, os.geteuid()):
        return Openness(f"{directory} belongs to user {status.st_uid}, who can lock it and so block every run", fix)
    if status.st_mode & (stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH):
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        return Openness(f"other users can open {directory} (mode {mode}): who locks it blocks every run", fix)
    return None


class Openness(NamedTuple):
    """The fault of the state directory, and the command that fixes it."""

    fault: str
    fix: str


def _word(path: str) -> str:
    import shlex  # only a fault needs it

    return shlex.quote(path)


def remove(directory: str) -> None:
    """Remove the files of nplconf. Other files in the directory stay. Raises OSError."""
    for name in (FILE, success.FILE, counters.FILE, reported.FILE):
        Path(directory, name).unlink(missing_ok=True)
    writing.sweep(Path(directory))


def boot_id() -> str:
    """Return the random name that the kernel has given to this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _text(state: State) -> str:
    rest = json.dumps(
        {
            "aliases": [[*a.key, a.owner.pod, a.owner.port, a.since, a.ended] for a in state.aliases],
            "annotations": dict(state.annotations),
            "addresses": {family: list(found) for family, found in state.addresses.items()},
            "boot": state.boot,
            "cluster": state.cluster,
            "formerClusters": state.former_clusters,
            "nodeUID": state.node_uid,
            "cooling": [[c.number, c.owner.pod, c.owner.port, c.freed_at] for c in state.cooling],
            "denials": dict(state.denials),
            "emptySeen": state.empty_seen,
            "said": dict(state.announced),
            "unasked": dict(state.unasked),
            "unserved": state.unserved,
            "waiting": state.waiting,
            "writing": state.writing,
        },
        sort_keys=True,
    )
    body = f"{rest}\n{_plan_text(state.plan)}\n"
    return f'{{"version": {VERSION}, "crc32": {zlib.crc32(body.encode())}}}\n{body}'


def _plan_text(plan: Plan | None) -> str:
    """Return a plan as one line of JSON. A mapping is a list of its fields."""
    if plan is None:
        return "null"
    return f'{_head(replace(plan, mappings=()))}, "mappings": [{", ".join(_TEXTS.of(plan.mappings))}]}}'


@lru_cache(maxsize=1)
def _head(plan: Plan) -> str:
    """Return a plan without mappings as JSON, less the last brace."""
    return json.dumps(document.to_data(plan))[:-1]


class _Texts:
    """Mappings as JSON. Of 1,000 mappings a run of `nplconf watch` mostly changes one; the texts of others stay."""

    PART = 32
    """How many node ports share one text."""

    def __init__(self) -> None:
        self._parts: dict[int, tuple[tuple[PortMapping, ...], str]] = {}

    def of(self, mappings: tuple[PortMapping, ...]) -> Iterator[str]:
        """Yield the texts of mappings in the order of plans, several in each."""
        ports = [m.node_port for m in mappings]
        before, self._parts = self._parts, {}
        first = 0
        while first < len(ports):
            part = ports[first] // self.PART
            end = bisect_left(ports, (part + 1) * self.PART, first)
            rows = mappings[first:end]
            known = before.get(part)
            self._parts[part] = known if known and known[0] == rows else (rows, json.dumps(rows)[1:-1])
            yield self._parts[part][1]
            first = end


_TEXTS = _Texts()


def _parse(text: str) -> State:
    """Parse a text of `_text`. Raises ValueError, KeyError, TypeError or AttributeError for any other text."""
    head, _, body = text.partition("\n")
    header: Any = json.loads(head)
    if header["version"] != VERSION:
        raise ValueError(f"version {header['version']!r}, this nplconf knows {VERSION}")
    if zlib.crc32(body.encode()) != header["crc32"]:
        raise ValueError("checksum")
    rest, _, plan = body.partition("\n")
    data: Any = json.loads(rest)
    return State(
        boot=_is(str, data["boot"]),
        cluster=_is(str | None, data["cluster"]),
        plan=_plan(json.loads(plan)),
        cooling=tuple(_cooling(*row) for row in data["cooling"]),
        empty_seen=_is(bool, data["emptySeen"]),
        announced={subject: _is(str, reason) for subject, reason in data["said"].items()},
        addresses={_family(family): _texts(found) for family, found in data["addresses"].items()},
        writing=_is(bool, data["writing"]),
        # keys that older versions did not write
        waiting=_texts(data.get("waiting", ())),
        aliases=tuple(_alias(*row) for row in data.get("aliases", ())),
        unasked={name: _is(float | int, since) for name, since in data.get("unasked", {}).items()},
        denials={pod: _denial(*row) for pod, row in data.get("denials", {}).items()},
        former_clusters=_texts(data.get("formerClusters", ())),
        node_uid=_is(str | None, data.get("nodeUID")),
        unserved=tuple(_key(*row) for row in data.get("unserved", ())),
        annotations={pod: _is(str, digest) for pod, digest in data.get("annotations", {}).items()},
    )


def _plan(data: Any) -> Plan | None:
    if data is None:
        return None
    plan = replace(document.from_data(data), mappings=tuple(map(_mapping, data["mappings"])))
    for row in plan.skipped:
        for value in (row.pod, row.pod_port, row.protocol, row.service, row.reason, row.message, row.rule, row.more):
            _is(str | int | None, value)
    _is(int, plan.port_range.first + plan.port_range.last)
    _texts((plan.node, plan.cluster or "", *plan.node_ips.values(), *map(_family, plan.node_ips)))
    return plan


_TEXT = frozenset((str,))
_ROW = (int, str, str, str, list, str, int, list, str, list)
"""The types of a mapping's fields, in order."""


def _mapping(row: list[Any]) -> PortMapping:
    number, protocol, family, node_ip, pod, pod_ip, pod_port, services, via, sources = row
    if tuple(map(type, row)) != _ROW or protocol not in PROTOCOLS or via not in ("dnat", "hostPort"):
        raise ValueError("no mapping")
    ref, asking, allowed = PodRef(*_only_texts(pod)), _only_texts(services), _only_texts(sources)
    return PortMapping(number, protocol, _family(family), node_ip, ref, pod_ip, pod_port, asking, via, allowed)


def _denial(fingerprint: Any, at: Any, message: Any) -> Denial:
    return Denial(_is(str, fingerprint), _is(float | int, at), _is(str, message))


def _key(number: Any, family: Any, protocol: Any) -> RuleKey:
    if protocol not in PROTOCOLS:
        raise ValueError("a protocol")
    return RuleKey(_is(int, number), _family(family), protocol)


def _alias(number: Any, family: Any, protocol: Any, pod: Any, port: Any, since: Any, ended: Any) -> Alias:
    owner = PodPort(_is(str, pod), _is(int, port))
    return Alias(_key(number, family, protocol), owner, _is(float | int | None, since), _is(bool, ended))


def _cooling(number: Any, pod: Any, port: Any, at: Any) -> Cooling:
    return Cooling(_is(int, number), PodPort(_is(str, pod), _is(int, port)), _is(float | int, at))


def _texts(values: Any) -> tuple[str, ...]:
    return _only_texts(_is(list | tuple, values))


def _only_texts(values: Collection[Any]) -> tuple[str, ...]:
    """Return the values, which must be texts. At C's speed, as there are three lists for each of 10,000 mappings."""
    if not _TEXT.issuperset(map(type, values)):
        raise TypeError("something else than a text")
    return tuple(values)


def _family(value: Any) -> Family:
    if value not in FAMILIES:
        raise ValueError("a family")
    return value  # type: ignore[no-any-return]


def _is(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} where it cannot be")
    return value


def _why(err: Exception) -> str:
    return (err.strerror if isinstance(err, OSError) and err.strerror else str(err)) or type(err).__name__
