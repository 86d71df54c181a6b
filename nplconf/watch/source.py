"""Following one resource in a thread: list, watch, and list again after a gap. `fill` lists once, without a thread."""

import random
import threading
import time
from collections.abc import Callable, Mapping

from nplconf.cluster.api.access import Access
from nplconf.cluster.api.stream import GoneError, Stream
from nplconf.errors import NplconfError, UnavailableError
from nplconf.watch import pace
from nplconf.watch.hub import Hub
from nplconf.watch.mirror import Mirror, Resource

KINDS: Mapping[Resource, str] = {"services": "ServiceList", "nodes": "NodeList", "pods": "PodList"}


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
        stream = _stream(find, resource, selectors)
        threading.Thread(target=follow, args=(hub, resource, stream), name=resource, daemon=True).start()


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


def follow(
    hub: Hub,
    resource: Resource,
    stream: Stream,
    *,
    sleep: Callable[[float], None] = time.sleep,
    dice: Callable[[], float] = random.random,
) -> None:
    """Follow one resource for ever. Every failure is the hub's to know, and is retried after a backoff."""
    failures = 0
    while True:
        try:
            hub.replace(resource, stream.list())
            while True:
                failures = _watched(hub, resource, stream, failures)
        except GoneError:
            problem: NplconfError | None = None  # what the hub has is a little old, not wrong
        except NplconfError as err:
            problem = err
        except Exception as err:  # noqa: BLE001 whatever a response contains, this thread must go on
            problem = UnavailableError(f"{resource}: unexpected {type(err).__name__}: {err}")
        if problem:
            hub.lost(resource, problem)
        if problem or failures:
            sleep(pace.backoff(failures, dice()))
        failures += 1


def _watched(hub: Hub, resource: Resource, stream: Stream, failures: int) -> int:
    """Hand the events of one watch on, until the server ends it. Return the failures in a row: none after an event."""
    began = time.monotonic()
    for event in stream.events():
        failures = 0
        if event.type != "BOOKMARK":
            hub.event(resource, event.type, event.object)
    if time.monotonic() - began < 1.0 and failures:
        raise UnavailableError(f"{resource}: the API server ends each watch at once")
    return failures if time.monotonic() - began < 1.0 else 0
