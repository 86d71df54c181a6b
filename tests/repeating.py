"""A step that a thread repeats while a test does something else."""

import contextlib
import threading
from collections.abc import Callable, Iterator

PAUSE = 0.001
"""Seconds. Several hundred requests in a second, which leave the processor to what they are made beside."""


@contextlib.contextmanager
def repeated(step: Callable[[], object], pause: float) -> Iterator[None]:
    """Repeat a step until the body ends. pause: seconds before each time.

    The last time has ended when the body is left. An error in the step fails the test, as in any thread.
    """
    stopped = threading.Event()

    def run() -> None:
        while not stopped.wait(pause):
            step()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
