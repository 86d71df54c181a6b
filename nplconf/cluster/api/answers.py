"""Responses of the API server as JSON: a whole object or list, or an `InvalidResponseError` that names the fault.

Between us and the server there may be proxies, load balancers and their error pages; status 200 proves nothing.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeGuard

from nplconf.cluster.api.transport import Deadline, Reply
from nplconf.cluster.json_window import JsonError, Window, no_constant
from nplconf.errors import UnavailableError

LARGEST_OBJECT = 4 << 20
"""Characters of one object. The API server takes 1.5 MiB. Empty lists need twenty times their text in memory."""
_HEAD = ("kind", "message", "metadata")
"""Members of a list that count beside its items."""
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
"""An escape that may be half of a surrogate pair. JSON can hold that; no file or terminal takes it."""
_ESCAPE_LENGTH = 6


class InvalidResponseError(UnavailableError):
    """A response that is not from an API server, or is incomplete."""


class ApiRefusal(NamedTuple):
    """A `Status`. reason: one word ("NotFound"); causes: the fields it names; kind: of the resource ("pods")."""

    message: str
    reason: str
    causes: tuple[str, ...]
    kind: str


def refusal(reply: Reply) -> ApiRefusal | None:
    """Return the Status of a response, None if it has none: then another program answered."""
    try:
        raw = whole(reply, "Status")
    except InvalidResponseError:
        return None
    details = raw.get("details")
    details = details if isinstance(details, dict) else {}
    causes = details.get("causes")
    fields = (c.get("field") for c in causes if isinstance(c, dict)) if isinstance(causes, list) else ()
    return ApiRefusal(
        message=_text(raw.get("message")),
        reason=_text(raw.get("reason")),
        causes=tuple(field for field in fields if isinstance(field, str)),
        kind=_text(details.get("kind")),
    )


def whole(reply: Reply, kind: str) -> dict[str, Any]:
    """Return the one object of this kind that an answer is. Raises InvalidResponseError."""
    found = decoded(reply)
    if not isinstance(found, dict) or found.get("kind") != kind:
        raise InvalidResponseError(f"it answered with {_kind(found)} where a {kind} was asked for")
    return found


def decoded(reply: Reply) -> Any:
    """Return the JSON of an answer that is one object. Raises InvalidResponseError."""
    try:
        parts: list[str] = []
        for part in reply.texts():
            parts.append(part)
            if sum(map(len, parts)) > LARGEST_OBJECT:
                raise InvalidResponseError(f"its answer is larger than {LARGEST_OBJECT >> 20} MiB")
        text = "".join(parts)
        return _encodable(json.loads(text)) if _HALF_PAIR.search(text) else json.loads(text)
    except (ValueError, RecursionError) as err:
        raise InvalidResponseError(_no_json(reply, err)) from None


def decoded_line(line: bytes) -> Any:
    """Return the JSON of one line of a stream. Raises InvalidResponseError."""
    try:
        text = line.decode("utf-8")
        found = json.loads(text, parse_constant=no_constant)
        return _encodable(found) if _HALF_PAIR.search(text) else found
    except (ValueError, RecursionError):
        raise InvalidResponseError("a line of its watch is no JSON") from None


class Listing:
    """A list, read page by page.

    Attributes:
        pending: The token of the next page, known at the end of `items`; "" after the last page.
        version: The resourceVersion of the list, known at the end of `items`.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.pending = ""
        self.version = ""

    def items(self, reply: Reply, deadline: Deadline) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield (kind, object) of each item of a page, parsed while it is unpacked: only one item is in memory.

        Raises:
            UnavailableError: The deadline has passed.
            InvalidResponseError: The response is no complete list of this kind. This may be known only at its end.
        """
        kind = self._kind.removesuffix("List")
        head: dict[str, Any] = {}
        parts = _Parts(reply, deadline)
        window = Window(parts.read, LARGEST_OBJECT)
        try:
            for name in window.members():
                if name in head:
                    raise InvalidResponseError(f"its {self._kind} has {name} twice")
                if name != "items" or not window.at("["):
                    value = window.value()
                    head |= {name: value} if name in _HEAD else {}
                    continue
                head[name] = self
                for _ in window.elements():
                    deadline.check()
                    item = self._item(window.value())
                    yield kind, _encodable(item) if parts.suspicious else item
            window.end()
        except ValueError as err:
            raise InvalidResponseError(_no_json(reply, err)) from None
        self._close(head)

    def _item(self, raw: object) -> Mapping[str, Any]:
        if not named(raw):
            raise InvalidResponseError(f"its {self._kind} has an item that is no object of a cluster")
        return raw

    def _close(self, head: Mapping[str, Any]) -> None:
        if head.get("kind") != self._kind:
            raise InvalidResponseError(f"it answered with {_kind(head)} where a {self._kind} was asked for")
        if head.get("items") is not self:
            raise InvalidResponseError(f"its {self._kind} has no items")
        metadata = head.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        self.pending = _text(metadata.get("continue"))
        self.version = _text(metadata.get("resourceVersion"))


class _Parts:
    """The text of an answer, part by part, as long as there is time. suspicious: it may hold half a surrogate pair."""

    def __init__(self, reply: Reply, deadline: Deadline) -> None:
        self._texts = reply.texts()
        self._deadline = deadline
        self._last = ""
        self.suspicious = False

    def read(self) -> str | None:
        """Return the next part; None at the end. Raises UnavailableError, ValueError."""
        self._deadline.check()
        part = next(self._texts, None)
        if part is not None and not self.suspicious:
            self.suspicious = _HALF_PAIR.search(self._last + part) is not None
            self._last = part[-_ESCAPE_LENGTH:]
        return part


def named(item: object) -> TypeGuard[dict[str, Any]]:
    """Return whether it is an object of an API server: all of them have a name and a UID."""
    metadata = item.get("metadata") if isinstance(item, dict) else None
    return isinstance(metadata, dict) and bool(metadata.get("name")) and bool(metadata.get("uid"))


def _encodable(found: Any) -> Any:
    """Return the value; raise ValueError for half a surrogate pair."""
    json.dumps(found, ensure_ascii=False).encode()
    return found


def _no_json(reply: Reply, err: Exception) -> str:
    kind = reply.headers.get("content-type") or "no content type"
    if not reply.json:
        return f"it answered with {kind} instead of JSON: something else than the API server speaks there"
    line = f" (line {err.line})" if isinstance(err, JsonError) else ""
    return f"its JSON is broken or cut off: {err or type(err).__name__}{line}"


def _text(found: object) -> str:
    return found if isinstance(found, str) else ""


def _kind(found: object) -> str:
    if not isinstance(found, Mapping):
        return "no object"
    kind, message = _text(found.get("kind")), _text(found.get("message"))
    named = f"a {kind}" if kind else "an object of no kind"
    return f"{named} ({message})" if kind == "Status" and message else named
