"""Where credentials for an API server are found: in a kubeconfig, a Pod's ServiceAccount, or the kubelet's own file."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from nplconf.cluster.api import kubeconfig as files
from nplconf.cluster.api.access import Access, text, token
from nplconf.errors import BadConfigError

KUBELET = "/etc/kubernetes/kubelet.conf"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
Note = Callable[[str], None]


def find(kubeconfig: str | None, note: Note) -> Access:
    """The credentials to use now; files are read anew each time, as tokens and certificates in them are renewed.

    Order: kubeconfig, $KUBECONFIG, in a Pod its ServiceAccount, the kubelet's, which is said. Raises BadConfigError;
    PermissionDeniedError for a file that we may not read; UnavailableError when a plugin fails.
    """
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
