"""A step that a thread repeats while a test does something else."""

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def repeated(step: Callable[[], object], pause: float = 0.0) -> Iterator[None]:
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
