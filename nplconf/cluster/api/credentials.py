"""Where credentials for an API server are found: in a kubeconfig, a Pod's ServiceAccount, or the kubelet's own file."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from nplconf.cluster.api import kubeconfig as files
from nplconf.cluster.api.access import Access, text, token
from nplconf.errors import BadConfigError, NplconfError

KUBELET = "/etc/kubernetes/kubelet.conf"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
Note = Callable[[str], None]
_used: list[Access] = []
"""What `find` returned last in this process."""


def used() -> Access | None:
    """Return the credentials that this process uses; None where it has not looked for any, or found none."""
    return _used[-1] if _used else None


def find(kubeconfig: str | None, note: Note) -> Access:
    """Return the credentials to use now. Files are read anew each time, as tokens and certificates are renewed in them.

    Order: kubeconfig, $KUBECONFIG, in a Pod its ServiceAccount, the kubelet's.

    Args:
        kubeconfig: the option's value.
        note: called with a warning: the kubelet's credentials are used, or any are sent in clear text.

    Raises:
        BadConfigError: there are none, or they are broken.
        PermissionDeniedError: a file with credentials cannot be read.
        UnavailableError: a plugin fails.
    """
    try:
        found = _found(kubeconfig, note)
    except NplconfError:
        _used.clear()
        raise
    _used[:] = [found]
    if found.in_clear_text:
        note(f"{found.server}: the credentials are sent in clear text (http://); use an https:// server")
    return found


def _found(kubeconfig: str | None, note: Note) -> Access:
    named = kubeconfig or os.environ.get("KUBECONFIG")
    if named:
        return files.read(named)
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster(os.environ)
    if os.path.lexists(KUBELET):
        note(f"no --kubeconfig, no $KUBECONFIG, not in a Pod: using the kubelet's credentials ({KUBELET})")
        return files.read(KUBELET)
    raise BadConfigError(
        f"no credentials for an API server: no --kubeconfig, no $KUBECONFIG, not in a Pod, no {KUBELET};"
        " --cluster-state reads the cluster from a file"
    )


def _in_cluster(environ: Mapping[str, str]) -> Access:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    directory = Path(SERVICE_ACCOUNT)
    return Access(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        source=f"the ServiceAccount in {directory}",
        token=token(directory / "token"),
        token_file=str(directory / "token"),
        ca=text(directory / "ca.crt"),
    )
