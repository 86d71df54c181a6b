"""Names that are valid in a plan, and the form of other names in messages."""

import re
from functools import lru_cache

from nplconf.model import PodRef, ServicePort

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_UID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_SHOWN = 253
_PROTOCOLS = {"TCP": "tcp", "UDP": "udp"}


@lru_cache(maxsize=1024)
def label(name: str) -> bool:
    """Return whether Kubernetes accepts it as the name of a namespace or a Service."""
    return _LABEL.fullmatch(name) is not None


def subdomain(name: str) -> bool:
    """Return whether Kubernetes accepts it as the name of a Pod or a node."""
    return len(name) <= 253 and _SUBDOMAIN.fullmatch(name) is not None


def identifier(text: str) -> bool:
    """Return whether it can be a UID."""
    return _UID.fullmatch(text) is not None


def invalid_part(pod: PodRef) -> str | None:
    """Return which part of a Pod's identity cannot be real; None if all can."""
    if not label(pod.namespace):
        return "namespace"
    if not subdomain(pod.name):
        return "name"
    return None if identifier(pod.uid) else "UID"


def shown(text: str) -> str:
    """Return a text as printable ASCII, at most 253 characters, with escapes for the rest: names can be hostile."""
    if text.isascii() and text.isprintable() and len(text) <= _SHOWN:
        return text
    escaped = "".join(c if c.isascii() and c.isprintable() else _escape(c) for c in text[: _SHOWN + 1])
    return escaped if len(escaped) <= _SHOWN else escaped[: _SHOWN - 3] + "..."


def protocol_of(port: ServicePort) -> str:
    """Return the protocol of a port in lower case, as plans and annotations have it."""
    return _PROTOCOLS.get(port.protocol) or shown(port.protocol).lower()


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
