"""Whether this process runs in a Pod."""

import os
from pathlib import Path
from typing import NamedTuple

from nplconf.doctor.facts import Facts
from nplconf.hold.handover import SUFFIX
from nplconf.install import systemd

NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


class OwnPod(NamedTuple):
    """The Pod around this process. keeps: whether the hold daemon has a keeper."""

    namespace: str
    keeps: bool


def pod(facts: Facts) -> OwnPod | None:
    """Return the Pod; None on a node."""
    if not os.environ.get("KUBERNETES_SERVICE_HOST") or systemd.runs():
        return None
    try:
        namespace = Path(NAMESPACE).read_text("utf-8").strip()
    except OSError:
        namespace = "nplconf"
    return OwnPod(namespace, Path(facts.settings.hold_socket + SUFFIX).is_socket())
