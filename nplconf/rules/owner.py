"""The tag on every rule: whose it is, so that ownership survives a lost state file."""

import re
from typing import NamedTuple

from nplconf.model import PodRef

LONGEST = 128
"""Characters, in every backend: nft 1.0.6 refuses a longer comment. (iptables cuts one at 255 without an error.)"""
_TAG = re.compile(r"nplconf:([a-z0-9.-]+/[a-z0-9.-]+):([0-9]{1,5}):([A-Za-z0-9._-]+)")
_HASH = "nplconf:#"
SAFE = r"[A-Za-z0-9._/:#-]"
"""The only characters of a tag: none that a shell, iptables or a terminal would read as more than itself."""


class Owner(NamedTuple):
    """Whom a tag names. pod: namespace/name."""

    pod: str
    uid: str
    pod_port: int


def tag(pod: PodRef, pod_port: int) -> str:
    """The comment of the rules for one port of one Pod; a hash of it where it would be too long."""
    text = _text(pod, pod_port)
    return text if len(text) <= LONGEST else _hashed(text)


def too_long(pod: PodRef, pod_port: int) -> bool:
    """Whether the tag of this Pod port is a hash."""
    return len(_text(pod, pod_port)) > LONGEST


def parse(text: str) -> Owner | None:
    """Whom a tag names; None for a hash, and for what is no tag of ours."""
    match = _TAG.fullmatch(text)
    return Owner(match[1], match[3], int(match[2])) if match else None


def hashed(text: str) -> bool:
    """True for a tag that names its owner by a hash only."""
    return text.startswith(_HASH)


def _text(pod: PodRef, pod_port: int) -> str:
    return f"nplconf:{pod.namespace}/{pod.name}:{pod_port}:{pod.uid}"


def _hashed(text: str) -> str:
    import hashlib  # loads OpenSSL, which nearly no run needs

    return f"{_HASH}{hashlib.sha256(text.encode()).hexdigest()}"
