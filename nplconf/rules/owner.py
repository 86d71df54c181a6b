"""The owner tag of every rule. Because of it, ownership survives a lost state file."""

import re
from typing import NamedTuple

from nplconf.model import PodRef

LONGEST = 128
"""Characters, in every backend: nft 1.0.6 refuses a longer comment. (iptables cuts at 255 without an error.)"""
_TAG = re.compile(r"nplconf:([a-z0-9.-]+/[a-z0-9.-]+):([0-9]{1,5}):([A-Za-z0-9._-]+)")
_HASH = "nplconf:#"
SAFE = r"[A-Za-z0-9._/:#-]"
"""The only characters of a tag. None of them has a meaning for a shell, iptables or a terminal."""


class Owner(NamedTuple):
    """The Pod port that a tag names. pod: namespace/name."""

    pod: str
    uid: str
    pod_port: int


def tag(pod: PodRef, pod_port: int) -> str:
    """Return the comment of the rules of one Pod port: a hash if the text would be too long."""
    text = _text(pod, pod_port)
    return text if len(text) <= LONGEST else _hashed(text)


def too_long(pod: PodRef, pod_port: int) -> bool:
    """Return whether the tag of this Pod port is a hash."""
    return len(_text(pod, pod_port)) > LONGEST


def parse(text: str) -> Owner | None:
    """Return the owner that a tag names. None for a hash, and for any text that is no tag of nplconf."""
    match = _TAG.fullmatch(text)
    return Owner(match[1], match[3], int(match[2])) if match else None


def hashed(text: str) -> bool:
    """Return whether a tag is a hash of its owner."""
    return text.startswith(_HASH)


def _text(pod: PodRef, pod_port: int) -> str:
    return f"nplconf:{pod.namespace}/{pod.name}:{pod_port}:{pod.uid}"


def _hashed(text: str) -> str:
    import hashlib  # late import: it loads OpenSSL, which nearly no run needs

    return f"{_HASH}{hashlib.sha256(text.encode()).hexdigest()}"
