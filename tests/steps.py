"""Errors at each line of some functions, as a signal handler may raise them.

They come between two lines: after the one, before the next.
"""

import itertools
import sys
import types
from collections.abc import Callable, Collection, Iterator
from typing import Any


def interrupted(call: Callable[[], object], error: type[Exception], functions: Collection[str]) -> Iterator[int]:
    """Make a call again and again, with an error at the first line of these functions, at the second, and so on.

    Yield the number of the line after each call that raised the error. Return after the first call without it.

    Args:
        call: What is interrupted.
        error: What is raised.
        functions: The names of functions. No destructor may call them, as Python drops its errors.

    """
    for number in itertools.count(1):
        try:
            _interrupted(call, error, functions, number)
        except error:
            yield number
        else:
            return


def _interrupted(call: Callable[[], object], error: type[Exception], functions: Collection[str], number: int) -> None:
    left = number

    def lines(_frame: types.FrameType, event: str, _value: object) -> Any:
        nonlocal left
        left -= event == "line"
        if not left:
            sys.settrace(None)
            raise error
        return lines

    def calls(frame: types.FrameType, _event: str, _value: object) -> Any:
        return lines if frame.f_code.co_name in functions else None

    before = sys.gettrace()
    sys.settrace(calls)
    try:
        call()
    finally:
        sys.settrace(before)
