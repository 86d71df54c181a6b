"""A Kubernetes API server as the cluster: three requests to read it, one patch per Pod to write it.

Each list is one consistent response, not chunked: a node has few Pods, and chunks bypass the server's watch cache. A
list is complete or an error, because a run removes the mappings of Pods and Services that are missing from it.
"""

import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from nplconf.cluster.api import credentials, rights
from nplconf.cluster.api import event as posting
from nplconf.cluster.api import patch as publishing
from nplconf.cluster.api.access import Access
from nplconf.cluster.api.answers import InvalidResponseError, Listing, refusal, whole
from nplconf.cluster.api.credentials import Note
from nplconf.cluster.api.listing import ExpiredError, listed
from nplconf.cluster.api.session import Session
from nplconf.cluster.api.transport import Deadline
from nplconf.cluster.objects import state
from nplconf.errors import NplconfError, UnavailableError
from nplconf.model import ClusterState, Event, Failure, Patch

if TYPE_CHECKING:  # only doctor pays for it
    from nplconf.model import Right

READ_SECONDS = 15.0
WRITE_SECONDS = 15.0
EVENT_SECONDS = 5.0
OTHER_NODES = 100
"""Nodes that are read when none has the wanted name: they are 10 to 20 kB each."""
IN_FLIGHT = 4
"""Patches at once: one server takes 1,000 in about the same time over one connection or many; 4 hide the way there."""
_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")
_Objects = Iterator[tuple[str, Mapping[str, Any]]]


class ApiCluster:
    """An API server as `Cluster`. Nothing is read before the first snapshot.

    Args:
        kubeconfig: The option; see `credentials.find` for what is used without it.
        note: Called with a warning when the source of the credentials may surprise the user.

    """

    def __init__(self, kubeconfig: str | None, note: Note) -> None:
        self._kubeconfig = kubeconfig
        self._note = note
        self._session = Session(self._find)
        self._others: list[Session] = []

    def _find(self) -> Access:
        found = credentials.find(self._kubeconfig, self._note)
        self._note = _silent
        return found

    def credentials(self) -> Callable[[], Access]:
        """Return what finds the credentials, which further connections to this server need.

        Raises BadConfigError where there are none.
        """
        self._session.access = self._session.access or self._find()
        return self._find

    def close(self) -> None:
        """Let the connections go; the next request opens another."""
        for session in (self._session, *self._others):
            session.close()

    # --- reading

    def snapshot(self, node: str | None) -> ClusterState:
        """See `Cluster`. Without the Node object where the server has none of that name.

        Raises UnavailableError, PermissionDeniedError (401, 403), BadConfigError.
        """
        with Deadline(READ_SECONDS) as deadline:
            try:
                return self._read(node, deadline)
            except InvalidResponseError as err:
                raise UnavailableError(f"invalid response of the API server: {err}") from None
            except NplconfError:
                raise
            except Exception as err:
                # whatever an answer contains: the caller then restores the last good plan
                raise UnavailableError(f"invalid response of the API server: {type(err).__name__}: {err}") from err

    def _read(self, node: str | None, deadline: Deadline) -> ClusterState:
        try:
            return replace(state(self._objects(node, deadline), node), served=True)
        except ExpiredError:
            pass
        try:
            return replace(state(self._objects(node, deadline), node), served=True)
        except ExpiredError:
            raise UnavailableError("the API server gave up a list half-way, twice (410)") from None

    def _objects(self, node: str | None, deadline: Deadline) -> _Objects:
        yield from self._list("services", "ServiceList", {}, deadline)
        if node is None:
            yield from self._list("nodes", "NodeList", {}, deadline)
            yield from self._list("pods", "PodList", {}, deadline)
        else:
            yield from self._node(node, deadline)
            yield from self._list("pods", "PodList", {"fieldSelector": f"spec.nodeName={node}"}, deadline)

    def _node(self, name: str, deadline: Deadline) -> _Objects:
        reply = self._session.ask("GET", f"/api/v1/nodes/{quote(name, safe='')}", deadline)
        answer = refusal(reply) if reply.status == 404 else None
        if not (answer and answer.reason == "NotFound" and answer.kind == "nodes"):
            yield "Node", whole(self._session.granted(reply, "get", "nodes"), "Node")
        else:
            yield from self._other_nodes(deadline)

    def _other_nodes(self, deadline: Deadline) -> _Objects:
        """Yield some Nodes, whose names make the error useful; none where this account may not list them."""
        reply = self._session.ask("GET", f"/api/v1/nodes?limit={OTHER_NODES}", deadline)
        if reply.status == 200:
            with contextlib.suppress(InvalidResponseError):
                yield from Listing("NodeList").items(reply, deadline)

    def _list(self, resource: str, kind: str, selection: Mapping[str, str], deadline: Deadline) -> _Objects:
        yield from listed(self._session, resource, Listing(kind), selection, deadline)

    # --- writing

    @property
    def writable(self) -> bool:
        """See `Cluster`."""
        return True

    def patch(self, patches: Sequence[Patch]) -> tuple[Failure, ...]:
        """See `Cluster`. A Pod that is gone, or was created again, is no failure: the next run sees what is there."""
        with Deadline(WRITE_SECONDS) as deadline:
            return tuple(filter(None, self._all(patches, lambda session, patch: _patched(session, patch, deadline))))

    def post_events(self, events: Sequence[Event], node: str) -> tuple[Event, ...]:
        """See `Cluster`."""
        with Deadline(EVENT_SECONDS) as deadline:
            later = self._all(events, lambda session, event: not _posted(session, event, node, deadline))
        return tuple(event for event, failed in zip(events, later, strict=True) if failed)

    # --- rights

    def rights(self, node: str, *, events: bool) -> "tuple[Right, ...]":
        """See `Cluster`."""
        with Deadline(READ_SECONDS) as deadline:
            send = functools.partial(self._session.ask, "POST", rights.PATH, deadline, Content_Type="application/json")
            return rights.reviewed(node, lambda body: send(body=body), events=events)

    def _all(self, work: Sequence[_Item], do: Callable[[Session, _Item], _Outcome]) -> list[_Outcome]:
        """Do all pieces of work, a few at a time, so that one that hangs delays no other."""
        if len(work) <= 1:
            return [do(self._session, item) for item in work]
        from concurrent.futures import ThreadPoolExecutor

        if not self._others:
            self._others = [Session(self._find, self._session.access) for _ in range(IN_FLIGHT - 1)]
        left = deque(range(len(work)))
        outcomes: dict[int, _Outcome] = {}

        def serve(session: Session) -> None:
            while True:
                try:
                    number = left.popleft()
                except IndexError:
                    return
                outcomes[number] = do(session, work[number])

        sessions = (self._session, *self._others)[: len(work)]
        # one task for each connection: one for each of 1,000 patches takes a fifth more processor time
        with ThreadPoolExecutor(len(sessions)) as workers:
            try:
                list(workers.map(serve, sessions))
            finally:
                left.clear()  # Ctrl-C ends the wait, and must end the work
        return [outcomes[number] for number in range(len(work))]


def _patched(session: Session, patch: Patch, deadline: Deadline) -> Failure | None:
    try:
        reply = session.ask(
            "PATCH", publishing.path(patch), deadline, publishing.body(patch, time.time()), **publishing.headers(patch)
        )
        if reply.status != 401:
            return publishing.verdict(reply, patch)
        message = session.rejected()
    except NplconfError as err:
        message = str(err)
    except Exception as err:  # noqa: BLE001 - it is this patch's failure, and no other's
        message = f"invalid response of the API server: {type(err).__name__}: {err}"
    return Failure(publishing.STEP, patch.pod.key, message)


def _posted(session: Session, event: Event, node: str, deadline: Deadline) -> bool:
    try:
        data = posting.body(event, node, time.time())
        reply = session.ask("POST", posting.path(event), deadline, data, Content_Type="application/json")
        return posting.is_done(reply)
    except Exception:  # noqa: BLE001 - it is this Event's failure, and no other's; the next run creates it
        return False


def _silent(_message: str) -> None:
    """Ignore a warning that was given already."""
