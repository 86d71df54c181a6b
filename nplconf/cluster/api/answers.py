"""Responses of the API server as JSON: a whole object or list, or an `InvalidResponseError` that names the fault.

Between us and the server there may be proxies, load balancers and their error pages; status 200 proves nothing.
"""

import json
from collections.abc import Generator, Iterator, Mapping
from typing import Any, NamedTuple, TypeGuard

from nplconf.cluster.api.transport import Reply
from nplconf.errors import UnavailableError

_decoder = json.JSONDecoder()


class InvalidResponseError(UnavailableError):
    """An answer that is none of the API server's, or half of one."""


class Refusal(NamedTuple):
    """What a `Status` says. reason: a word ("NotFound"). causes: the fields it names. kind: of what ("pods")."""

    message: str
    reason: str
    causes: tuple[str, ...]
    kind: str


def refusal(reply: Reply) -> Refusal | None:
    """The Status of an answer; None when it is none: then it is not the API server that speaks."""
    try:
        raw = whole(reply, "Status")
    except InvalidResponseError:
        return None
    details = raw.get("details")
    details = details if isinstance(details, dict) else {}
    causes = tuple(c.get("field", "") for c in details.get("causes") or () if isinstance(c, dict))
    return Refusal(str(raw.get("message") or ""), str(raw.get("reason") or ""), causes, str(details.get("kind") or ""))


def whole(reply: Reply, kind: str) -> dict[str, Any]:
    """The one object of this kind that an answer is. Raises UnbelievableError."""
    try:
        found = json.loads(_text(reply))
    except (ValueError, RecursionError) as err:
        raise InvalidResponseError(_no_json(reply, err)) from None
    if not isinstance(found, dict) or found.get("kind") != kind:
        raise InvalidResponseError(f"it answered with {_kind(found)} where a {kind} was asked for")
    return found


class Listing:
    """A list, page by page. pending: where its next page begins, known once `items` is used up; "" after the last."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.pending = ""
        self.version = ""

    def items(self, reply: Reply) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """(kind, object) of a page's items. One at a time, so that what they become is all that stays in memory.

        Raises UnbelievableError, at the latest after the last item, for what is no whole list of this kind.
        """
        kind = self._kind.removesuffix("List")
        walk = _elements(_text(reply))
        try:
            while True:
                item = next(walk)
                if not _named(item):
                    raise InvalidResponseError(f"its {self._kind} has an item that is no object of a cluster")
                yield kind, item
        except StopIteration as end:
            self._close(end.value)
        except (ValueError, RecursionError) as err:
            raise InvalidResponseError(_no_json(reply, err)) from None

    def _close(self, head: Mapping[str, Any]) -> None:
        if head.get("kind") != self._kind:
            raise InvalidResponseError(f"it answered with {_kind(head)} where a {self._kind} was asked for")
        if head.get("items") is not _elements:
            raise InvalidResponseError(f"its {self._kind} has no items")
        metadata = head.get("metadata")
        found = metadata.get("continue") if isinstance(metadata, dict) else None
        self.pending = found if isinstance(found, str) else ""
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        self.version = version if isinstance(version, str) else ""


def _named(item: object) -> TypeGuard[dict[str, Any]]:
    """It is an object as the API server has them, all with a name and a UID."""
    metadata = item.get("metadata") if isinstance(item, dict) else None
    return isinstance(metadata, dict) and bool(metadata.get("name")) and bool(metadata.get("uid"))


def _elements(text: str) -> Generator[object, None, dict[str, Any]]:
    """The elements of the array "items" of a JSON object; returned: the object's other members.

    Where the array was, the members have this function. Raises ValueError for what is no JSON object.
    """
    members: dict[str, Any] = {}
    at, more = _step(text, 0, "{", "}", first=True)
    while more:
        name, at = _decoder.raw_decode(text, at)
        at, _ = _step(text, at, ":", ":")
        if name == "items" and name not in members and text[at : at + 1] == "[":
            members[name] = _elements
            at, elements = _step(text, at, "[", "]", first=True)
            while elements:
                element, at = _decoder.raw_decode(text, at)
                yield element
                at, elements = _step(text, at, ",", "]")
        else:
            members[name], at = _decoder.raw_decode(text, at)
        at, more = _step(text, at, ",", "}")
    if at != len(text):
        raise ValueError("something follows its end")
    return members


def _step(text: str, at: int, on: str, end: str, *, first: bool = False) -> tuple[int, bool]:
    """Over one token: where the next begins, and whether it was `on`. first: `end` may follow `on` at once."""
    at = _skip(text, at)
    found = text[at : at + 1]
    if found not in (on, end) or not found:
        raise ValueError(f"{on!r} or {end!r} is missing at character {at}")
    at = _skip(text, at + 1)
    if first and found == on and text[at : at + 1] == end:
        return _skip(text, at + 1), False
    return at, found == on


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\n", "\r", "\t"):
        at += 1
    return at


def _text(reply: Reply) -> str:
    try:
        return reply.body.decode()
    except UnicodeDecodeError as err:
        raise InvalidResponseError(_no_json(reply, err)) from None


def _no_json(reply: Reply, err: Exception) -> str:
    kind = reply.headers.get("content-type") or "no content type"
    if not reply.json:
        return f"it answered with {kind} instead of JSON: something else than the API server speaks there"
    return f"its JSON is broken or cut off: {err or type(err).__name__}"


def _kind(found: object) -> str:
    if not isinstance(found, Mapping):
        return "no object"
    kind, message = found.get("kind"), found.get("message")
    named = f"a {kind}" if isinstance(kind, str) and kind else "an object of no kind"
    return f"{named} ({message})" if kind == "Status" and message else named
