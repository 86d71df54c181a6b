"""Characters that a person cannot see, or sees at another position. Pure."""

import re

_HIDDEN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # controls: C0 with newline, DEL, C1
    "\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0"  # soft hyphen, joiner, fillers, blanks
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # zero width, line separators, bidirectional controls
    "\ufe00-\ufe0f\ufff0-\ufffb\ufffe\uffff\ufdd0-\ufdef"  # variation selectors, annotations, noncharacters
    "\ud800-\udfff"  # surrogates, which are no characters
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # shorthand, music, tags, variation selectors
    "]",
)
"""Characters that Unicode calls default ignorable (not drawn), and those that act on a terminal or on neighbours."""


def escaped(text: str) -> str:
    r"""Return the text on one line, with every hidden character as \xNN, \uNNNN or \UNNNNNNNN."""
    return _HIDDEN.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
