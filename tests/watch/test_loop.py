"""The loop of watch mode ends at a signal, and only then without an error."""

import signal
import threading
import time

import pytest
from steps import interrupted

from nplconf.errors import StoppedError
from nplconf.watch.hub import Hub
from nplconf.watch.loop import stoppable
from nplconf.watch.mirror import Mirror


def test_a_signal_while_it_waits_ends_it_at_once() -> None:
    began = time.monotonic()
    with stoppable() as stop:
        threading.Timer(0.1, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)).start()
        Hub(Mirror({})).wait(began + 20)
    assert stop.requested
    assert time.monotonic() - began < 5
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_error_after_the_signal_is_its_consequence(number: signal.Signals) -> None:
    with stoppable() as stop:
        try:
            signal.raise_signal(number)
        finally:
            threading.Lock().release()
    assert stop.requested


def test_an_error_without_a_signal_ends_it_with_this_error() -> None:
    with pytest.raises(RuntimeError), stoppable():
        threading.Lock().release()


def test_the_error_of_a_signal_at_any_line_of_its_wait_ends_it() -> None:
    hub = Hub(Mirror({}))

    def waited() -> None:
        with stoppable() as stop:
            try:
                hub.wait(time.monotonic() + 0.01)
            except (StoppedError, RuntimeError):  # at some lines Condition.wait does not have its lock
                stop.requested = True
                raise
        if stop.requested:
            raise StoppedError

    assert len(list(interrupted(waited, StoppedError, ("wait",)))) > 10
