"""Suggestions for a misspelled command, option or key."""

from collections.abc import Iterable


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean WORD?" for the known word that is closest, "" when none is close.

    Upper and lower case, `-` and `_` count as equal, so that `state_dir` leads to `stateDir`.
    """
    from difflib import get_close_matches  # 3 ms that only a wrong word costs

    plain = {_plain(one): one for one in reversed(tuple(known))}
    found = get_close_matches(_plain(word), plain, n=1, cutoff=0.6)
    return f"; did you mean {plain[found[0]]}?" if found else ""


def _plain(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")
