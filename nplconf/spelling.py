"""Suggestions for a misspelled command, option or key."""

from collections.abc import Iterable


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean WORD?" for the closest known word, "" if none is close.

    Case is ignored, and `-` equals `_`, so that `state_dir` leads to `stateDir`.
    """
    from difflib import get_close_matches  # late import: 3 ms, needed only for a wrong word

    plain = {_plain(one): one for one in reversed(tuple(known))}
    found = get_close_matches(_plain(word), plain, n=1, cutoff=0.6)
    return f"; did you mean {plain[found[0]]}?" if found else ""


def _plain(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")
