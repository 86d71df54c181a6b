"""Text of the cluster on its way to a person."""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""C0 with newline, DEL, C1; and what reorders or hides text: bidirectional controls, zero width, lone surrogates."""


def escaped(text: str) -> str:
    r"""The text on one line, with control characters as \xNN or \uNNNN."""
    return _CONTROL.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
