"""Where the API server is and how it knows us: a kubeconfig, the ServiceAccount of a Pod, or the kubelet's own file.

A kubeconfig that names files, tokens or data is read here. One that asks for more, an exec plugin, an auth provider or
several files in one, is left to the `kubernetes` package, in a process of its own (`cluster.plugins`): its import alone
costs 220 ms of CPU and 43 MB, it sets no end to a plugin that hangs, and it leaves keys in temporary files.
"""

import base64
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nplconf.errors import BadConfigError, NplconfError, PermissionDeniedError, UnavailableError

KUBELET = "/etc/kubernetes/kubelet.conf"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
PLUGINS = {"exec", "auth-provider"}
"""What a kubeconfig's user has when credentials must be asked for."""
PLUGIN_SECONDS = 15
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A server and our credentials for it. source: what they come from, for messages. ca, certificate and key: PEM.

    ca None: what the system trusts. verify False: the server's certificate is not looked at.
    """

    server: str
    source: str
    token: str = ""
    ca: str | None = None
    certificate: str = ""
    key: str = ""
    verify: bool = True
    server_name: str = ""
    proxy: str = ""

    def headers(self) -> dict[str, str]:
        """What every request says of us."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def tls(self) -> ssl.SSLContext | None:
        """How the server is spoken to; None for plain HTTP. Raises BadConfigError."""
        if not self.server.startswith("https:"):
            return None
        try:
            context = ssl.create_default_context(cadata=self.ca)
            if not self.verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if self.certificate:
                _load(context, self.certificate, self.key)
        except (ssl.SSLError, ValueError) as err:
            raise BadConfigError(
                f"{self.source}: a certificate or key in it is broken: {err}; see --kubeconfig"
            ) from None
        return context


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """OpenSSL reads files alone; this one is in memory and has no name."""
    handle = os.memfd_create("client")
    try:
        os.write(handle, f"{certificate}\n{key}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def find(kubeconfig: str | None, note: Note) -> Access:
    """The credentials to use now; files are read anew each time, as tokens and certificates in them are renewed.

    Order: kubeconfig, $KUBECONFIG, in a Pod its ServiceAccount, the kubelet's, which is said. Raises BadConfigError;
    PermissionDeniedError for a file that we may not read; UnavailableError when a plugin fails.
    """
    named = kubeconfig or os.environ.get("KUBECONFIG")
    if named:
        return from_kubeconfig(named)
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster(os.environ)
    if os.path.lexists(KUBELET):
        note(f"no --kubeconfig, no $KUBECONFIG, not in a Pod: using the kubelet's credentials ({KUBELET})")
        return from_kubeconfig(KUBELET)
    raise BadConfigError(
        f"no credentials for an API server: no --kubeconfig, no $KUBECONFIG, not in a Pod, no {KUBELET};"
        " --cluster-state reads the cluster from a file"
    )


def from_kubeconfig(named: str) -> Access:
    """The current context of a kubeconfig file, or of several joined by colons."""
    if os.pathsep in named:
        return _from_package(named)
    path = Path(named).expanduser()
    try:
        return _current(_parsed(path), path)
    except NplconfError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as err:
        raise BadConfigError(f"--kubeconfig {path}: {_missing(err)}") from None


def _missing(err: Exception) -> str:
    return f"no {err.args[0]}" if isinstance(err, KeyError) else str(err) or type(err).__name__


def _in_cluster(environ: Mapping[str, str]) -> Access:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    directory = Path(SERVICE_ACCOUNT)
    return Access(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        source=f"the ServiceAccount in {directory}",
        token=_text(directory / "token").strip(),
        ca=_text(directory / "ca.crt"),
    )


def _parsed(path: Path) -> Any:
    """The file's YAML (or JSON), which needs a mapping at its top."""
    import yaml

    text = _text(path)
    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except yaml.YAMLError as err:
        raise BadConfigError(f"--kubeconfig {path}: no YAML: {' '.join(str(err).split())}") from None
    if not isinstance(found, dict):
        raise BadConfigError(f"--kubeconfig {path}: {'empty' if found is None else 'no kubeconfig'}")
    return found


def _current(config: Any, path: Path) -> Access:
    context = _named(config, "contexts", config["current-context"])["context"]
    cluster = _named(config, "clusters", context["cluster"])["cluster"]
    user = _named(config, "users", context["user"])["user"] or {} if context.get("user") else {}
    if PLUGINS & user.keys():
        return _from_package(str(path))
    if "as" in user:
        raise BadConfigError(f"--kubeconfig {path}: acts as another user ({user['as']}), which is not supported")
    server = _server(cluster["server"], path)
    return Access(
        server=server,
        source=f"--kubeconfig {path}",
        token=_given(user, "token", "tokenFile", path, plain=True).strip(),
        ca=_given(cluster, "certificate-authority-data", "certificate-authority", path) or None,
        certificate=_given(user, "client-certificate-data", "client-certificate", path),
        key=_given(user, "client-key-data", "client-key", path),
        verify=not cluster.get("insecure-skip-tls-verify", False),
        server_name=cluster.get("tls-server-name") or "",
        proxy=_proxy(cluster.get("proxy-url") or "", server, path),
    )


def _named(config: Any, section: str, name: object) -> Any:
    found = [entry for entry in config.get(section) or () if entry["name"] == name]
    if not found:
        raise LookupError(f"no {name!r} among its {section}")
    return found[0]


def _server(text: str, path: Path) -> str:
    target = urlsplit(text)
    if target.scheme not in ("http", "https") or not target.hostname or not 0 < (target.port or 443) < 65536:
        raise BadConfigError(f"--kubeconfig {path}: {text!r} is no URL of a server")
    return text.rstrip("/")


def _given(part: Mapping[str, Any], inline: str, file: str, path: Path, *, plain: bool = False) -> str:
    """What stands in the kubeconfig, base64 unless plain, or in a file that it names, relative to its own place."""
    if part.get(inline):
        return str(part[inline]) if plain else _decoded(part[inline], inline)
    return _text(path.parent / part[file]) if part.get(file) else ""


def _decoded(text: str, name: str) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except ValueError as err:
        raise ValueError(f"{name} is no base64 of a PEM: {err}") from None


def _proxy(given: str, server: str, path: Path) -> str:
    """The HTTP proxy to go through: the kubeconfig's, else the environment's."""
    if not given and any(name.lower() == "https_proxy" for name in os.environ):
        import urllib.request

        target = urlsplit(server)
        given = "" if urllib.request.proxy_bypass(target.netloc) else urllib.request.getproxies().get(target.scheme, "")
    if given and urlsplit(given).scheme != "http":
        raise BadConfigError(f"--kubeconfig {path}: the proxy {given} is none that is spoken to in HTTP")
    return given


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except PermissionError:
        raise PermissionDeniedError(
            f"{path}: not readable for us; it is named by --kubeconfig or the environment"
        ) from None
    except (OSError, ValueError) as err:
        reason = err.strerror if isinstance(err, OSError) else "no text"
        raise BadConfigError(f"{path}: {reason}; --kubeconfig names a file with credentials") from None


# --- what the kubernetes package reads -------------------------------------------------------------------------------


def _from_package(named: str) -> Access:
    """What `cluster.plugins` finds, in a process that is ended with all its children when it takes too long."""
    command = [sys.executable, "-m", "nplconf.cluster.plugins", named]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        out, said = process.communicate(timeout=PLUGIN_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise UnavailableError(f"--kubeconfig {named}: its plugin gave no credentials in {PLUGIN_SECONDS} s") from None
    message = " ".join(said.decode(errors="replace").split())
    if process.returncode == BadConfigError.exit_code:
        raise BadConfigError(f"--kubeconfig {named}: {message}")
    if process.returncode != 0:
        raise UnavailableError(f"--kubeconfig {named}: no credentials from its plugin: {message}")
    return Access(source=f"--kubeconfig {named}", **json.loads(out))
