"""Following one resource in a thread: list, watch, go on where the watch ended, list again after a gap.

`fill` lists once, without a thread.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping

from nplconf.cluster.api.access import Access
from nplconf.cluster.api.answers import InvalidResponseError
from nplconf.cluster.api.stream import GoneError, Stream
from nplconf.errors import NplconfError, PermissionDeniedError, UnavailableError
from nplconf.watch import pace
from nplconf.watch.hub import Hub
from nplconf.watch.mirror import Mirror, Resource

KINDS: Mapping[Resource, str] = {"services": "ServiceList", "nodes": "NodeList", "pods": "PodList"}
SHORT_SECONDS = 1.0
"""A watch without an event that ends sooner counts as a failure: the server would be asked again and again."""


def of_node(name: str) -> Mapping[Resource, str]:
    """Return the field selectors for one node: of the Node itself, and of its Pods."""
    return {"nodes": f"metadata.name={name}", "pods": f"spec.nodeName={name}"}


def start(hub: Hub, find: Callable[[], Access], selectors: Mapping[Resource, str]) -> None:
    """Follow each resource of the hub's mirror in a daemon thread with a connection of its own.

    Args:
        hub: takes the objects.
        find: returns the API server and the credentials.
        selectors: field selectors; all objects of a resource that has none.
    """
    for resource in hub.mirror.objects:
        source = Source(hub, resource, _stream(find, resource, selectors))
        threading.Thread(target=source.follow, name=resource, daemon=True).start()


def fill(mirror: Mirror, find: Callable[[], Access]) -> None:
    """List each resource of a mirror once. Raises UnavailableError, PermissionDeniedError, BadConfigError."""
    for resource in mirror.objects:
        try:
            mirror.replace(resource, mirror.values(resource, _stream(find, resource, {}).list()))
        except GoneError:
            raise UnavailableError(f"the API server ended the list of {resource} before its last page (410)") from None


def _stream(find: Callable[[], Access], resource: Resource, selectors: Mapping[Resource, str]) -> Stream:
    selection = {"fieldSelector": selectors[resource]} if resource in selectors else {}
    return Stream(find, resource, KINDS[resource], selection)


class Source:
    """Follows one resource. Every failure is retried after a backoff.

    A failure is reported to the hub when the next attempt fails, too: until then what the hub has is at most a second
    old, and an API server that restarts makes no run fail. Rejected credentials, and a first list that fails, are
    reported at once.

    Args:
        hub: takes lists and events.
        resource: its name at the hub.
        stream: the connection.
        sleep: waits so many seconds.
        dice: returns a random number from 0 to 1.
    """

    def __init__(
        self,
        hub: Hub,
        resource: Resource,
        stream: Stream,
        *,
        sleep: Callable[[float], None] = time.sleep,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._hub, self._resource, self._stream = hub, resource, stream
        self._sleep, self._dice = sleep, dice
        self._failures = 0
        """Attempts in a row that gave nothing."""
        self._known = False
        """Whether the events since `stream.version` are all that is missing."""
        self._listed = False

    def follow(self) -> None:
        """Follow for ever."""
        while True:
            self.attempt()

    def attempt(self) -> None:
        """List where that is necessary, and watch until the stream ends. Then wait, where it ended too soon."""
        problem = self._problem()
        if problem is None:
            return
        if self._failures or not self._listed or isinstance(problem, PermissionDeniedError):
            self._hub.lost(self._resource, problem)
        self._sleep(pace.backoff(self._failures, self._dice()))
        self._failures += 1

    def _problem(self) -> NplconfError | None:
        """Return why the attempt failed; None where it did not."""
        try:
            self._list()
            return self._watch()
        except GoneError:
            self._known = False
            return UnavailableError(f"{self._resource}: the events since the last known one are gone (410)")
        except InvalidResponseError as err:
            self._known = False
            return err
        except NplconfError as err:
            return err
        except Exception as err:  # noqa: BLE001 whatever a response contains, this thread must go on
            self._known = False
            return UnavailableError(f"{self._resource}: unexpected {type(err).__name__}: {err}")

    def _list(self) -> None:
        if not self._known:
            self._hub.replace(self._resource, self._stream.list())
            self._known = self._listed = True

    def _watch(self) -> NplconfError | None:
        """Hand the events of one watch on. Return a problem for a watch that ends at once."""
        events = self._stream.events()
        self._hub.resumed(self._resource)
        began = time.monotonic()
        useful = False
        try:
            for event in events:
                useful, self._failures = True, 0
                if event.type != "BOOKMARK":
                    self._hub.event(self._resource, event.type, event.object)
        finally:
            if time.monotonic() - began >= SHORT_SECONDS:
                useful, self._failures = True, 0
        return None if useful else UnavailableError(f"{self._resource}: the API server ends each watch at once")
