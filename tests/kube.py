"""A control plane without controllers: a real etcd and a real kube-apiserver, shared by most of a test session.

RBAC and Node authorizers, NodeRestriction, ValidatingAdmissionPolicy and an audit log are on. Nothing schedules, so
Pods name their node. Nothing cleans up, so each test has its own namespace and node.
"""

import base64
import contextlib
import functools
import http.client
import itertools
import json
import secrets
import select
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import kube_binaries
import netns
import yaml

READY_SECONDS = 60
ADMIN = "admin"
KUBERNETES = "/api/v1/namespaces/default/services/kubernetes"
MERGE_PATCH = "application/merge-patch+json"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
_numbers = itertools.count()


class Answer(NamedTuple):
    """An HTTP status and the JSON that came with it."""

    status: int
    body: dict[str, Any]

    @property
    def items(self) -> list[dict[str, Any]]:
        return list(self.body["items"])


@dataclass
class ControlPlane:
    """A running control plane. tokens: user -> (token, groups), as configured at its start."""

    directory: Path
    host: str
    port: int
    tokens: Mapping[str, str]
    namespace: str | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _unused: list[http.client.HTTPSConnection] = field(default_factory=list)

    @property
    def server(self) -> str:
        return f"https://{self.host}:{self.port}"

    @property
    def ca(self) -> Path:
        """What the server's certificate is checked against."""
        return self.directory / "pki" / "apiserver.crt"

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        certificate: tuple[Path, Path] | None = None,
        kind: str = "",
    ) -> Answer:
        """One request, by default as an administrator. kind: the content type, where it is not the usual one."""
        headers = {} if certificate else {"Authorization": f"Bearer {token or self.tokens[ADMIN]}"}
        if body is not None:
            headers["Content-Type"] = kind or (MERGE_PATCH if method == "PATCH" else "application/json")
        with self._connection(certificate) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        try:
            return Answer(response.status, json.loads(text))
        except ValueError:
            return Answer(response.status, {"text": text.decode()})

    @contextlib.contextmanager
    def _connection(self, certificate: tuple[Path, Path] | None) -> Iterator[http.client.HTTPSConnection]:
        """Yield an open connection, which the next request uses again unless this one fails."""
        connection = None if certificate else self._again()
        connection = connection or self._connect(certificate)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if certificate or connection.sock is None:
            connection.close()
        else:
            self._unused.append(connection)

    def _again(self) -> http.client.HTTPSConnection | None:
        """Return a connection that no thread uses and that the server has not closed."""
        with contextlib.suppress(IndexError):
            while True:
                connection = self._unused.pop()
                if not select.select([connection.sock], [], [], 0)[0]:
                    return connection
                connection.close()
        return None

    def _connect(self, certificate: tuple[Path, Path] | None) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.ca))
        if certificate:
            context.load_cert_chain(*certificate)
        connection = http.client.HTTPSConnection(self.host, self.port, context=context, timeout=30)
        with contextlib.ExitStack() as failed:
            failed.callback(connection.close)
            with self._inside():
                connection.connect()
            failed.pop_all()
        return connection

    def close(self) -> None:
        """Close its connections."""
        while self._unused:
            self._unused.pop().close()

    def _inside(self) -> contextlib.AbstractContextManager[None]:
        return netns.inside(self.namespace) if self.namespace else contextlib.nullcontext()

    def ok(self, method: str, path: str, body: object = None, *, token: str | None = None) -> dict[str, Any]:
        """The object of a request that must succeed."""
        answer = self.call(method, path, body, token=token)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.body.get('message')}"
        return answer.body

    def audit(self) -> list[dict[str, Any]]:
        """Every request so far, as the server logged it."""
        log = self.directory / "audit.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def kubeconfig(self, name: str, user: Mapping[str, Any], server: str | None = None, **cluster: Any) -> Path:
        """A kubeconfig file of this name with these credentials."""
        path = self.directory / f"{name}.kubeconfig"
        target = {"server": server or self.server, "certificate-authority": str(self.ca), **cluster}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {k: v for k, v in target.items() if v is not None}}],
            "users": [{"name": "u", "user": dict(user)}],
        }
        path.write_text(yaml.safe_dump(config))
        path.chmod(0o600)
        return path

    def certificate(self, user: str, group: str) -> tuple[Path, Path]:
        """A client certificate and its key, as a kubelet has them."""
        return _certificate(self.directory, f"/O={group}/CN={user}")

    def server_certificate(self, host: str) -> tuple[Path, Path]:
        """A certificate that clients who trust the directory's ca.crt take for this address's."""
        return _server_certificate(self.directory, host)

    def tail(self) -> str:
        """The ends of both logs, for a failure's message."""
        return "\n".join(
            f"{p.name}: {p.read_text()[-1500:]}" for p in self.directory.glob("*.log") if p.stem != "audit"
        )


@contextlib.contextmanager
def running(directory: Path, namespace: str | None = None, host: str = "127.0.0.1") -> Iterator[ControlPlane]:
    """Start one, inside a network namespace where one is named; host: the address it is reached at there."""
    binaries = kube_binaries.find()
    users = {ADMIN: "system:masters", "tenant": "tenants", "restorer": "restorers"}
    tokens = {user: secrets.token_hex(16) for user in users}
    plane = ControlPlane(directory, host, 6443 if namespace else _free(), tokens, namespace)
    write_files(directory, users, tokens)
    etcd, peer = (2379, 2380) if namespace else (_free(), _free())
    inside = ["ip", "netns", "exec", namespace] if namespace else []
    try:
        _start(plane, "etcd", [*inside, str(binaries.etcd), *etcd_options(directory, etcd, peer)])
        _start(
            plane,
            "apiserver",
            [*inside, str(binaries.apiserver), *apiserver_options(directory, plane.host, plane.port, etcd)],
        )
        wait(plane)
        yield plane
    finally:
        plane.close()
        for process in reversed(plane.processes):
            process.kill()
            process.wait()


def write_files(directory: Path, users: Mapping[str, str], tokens: Mapping[str, str]) -> None:
    """Write tokens, keys and the audit policy of an API server. users: user -> group."""
    rows = [f"{tokens[user]},{user},{user},{group}" for user, group in users.items()]
    (directory / "tokens.csv").write_text("\n".join(rows) + "\n")
    (directory / "audit-policy.yaml").write_text(yaml.safe_dump(AUDIT_POLICY))
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(directory / "sa.key"))
    ca = ["-keyout", str(directory / "ca.key"), "-out", str(directory / "ca.crt"), "-subj", "/CN=clients"]
    _openssl("req", "-x509", *_NEW_KEY, "-days", "2", *ca)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@functools.cache
def _server_certificate(directory: Path, host: str) -> tuple[Path, Path]:
    """Make one for all proxies of a control plane: the two calls of openssl take 40 ms."""
    return _certificate(directory, f"/CN={host}", f"subjectAltName=IP:{host}")


def _certificate(directory: Path, subject: str, extension: str = "") -> tuple[Path, Path]:
    stem = directory / f"client-{next(_numbers)}"
    key, request, found = (stem.with_suffix(suffix) for suffix in (".key", ".csr", ".crt"))
    _openssl("req", *_NEW_KEY, "-keyout", str(key), "-out", str(request), "-subj", subject)
    ca = ["-CA", str(directory / "ca.crt"), "-CAkey", str(directory / "ca.key"), "-CAcreateserial"]
    extensions = stem.with_suffix(".ext")
    extensions.write_text(extension)
    _openssl("x509", "-req", "-in", str(request), *ca, "-days", "2", "-extfile", str(extensions), "-out", str(found))
    return found, key


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def etcd_options(directory: Path, client: int, peer: int) -> list[str]:
    """Return the options of an etcd that serves one API server on this machine."""
    url = f"http://127.0.0.1:{client}"
    return [
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-cluster=default=http://127.0.0.1:{peer}",
        "--unsafe-no-fsync",  # a test's data need not survive the machine
        "--log-level=error",
    ]


def apiserver_options(directory: Path, host: str, port: int, etcd: int) -> list[str]:
    """Return the options of an API server that finds in directory what `write_files` wrote. etcd: its port."""
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        f"--bind-address={host}",
        f"--advertise-address={host}",
        f"--secure-port={port}",
        f"--cert-dir={directory / 'pki'}",
        f"--client-ca-file={directory / 'ca.crt'}",
        f"--token-auth-file={directory / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--disable-admission-plugins=ServiceAccount",  # needs a controller that makes each namespace's default account
        f"--service-account-key-file={directory / 'sa.key'}",
        f"--service-account-signing-key-file={directory / 'sa.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/12,fd00:96::/112",
        f"--audit-policy-file={directory / 'audit-policy.yaml'}",
        f"--audit-log-path={directory / 'audit.log'}",
        "--allow-privileged=true",
        "--v=0",
    ]


def _start(plane: ControlPlane, name: str, command: list[str]) -> None:
    with (plane.directory / f"{name}.log").open("wb") as log:
        plane.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))


def wait(plane: ControlPlane) -> None:
    """Wait until the server is ready and has made the Service that names the cluster.

    Raises:
        RuntimeError: It ended or took too long; the message has the ends of the logs.
    """
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and all(p.poll() is None for p in plane.processes):
        with contextlib.suppress(OSError, http.client.HTTPException):
            if plane.call("GET", "/readyz").status == 200 and plane.call("GET", KUBERNETES).status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the API server did not become ready\n{plane.tail()}")


def listener(host: str) -> socket.socket:
    """A listening socket on a port that was free, in the namespace that this thread is in."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.bind((host, 0))
    found.listen(128)
    return found


def _free() -> int:
    with listener("127.0.0.1") as found:
        return int(found.getsockname()[1])


def decoded(token: str) -> dict[str, Any]:
    """The claims of a token."""
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))
