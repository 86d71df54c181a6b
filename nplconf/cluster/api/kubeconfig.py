"""Kubeconfig files: of one or several, what the current context says.

What names files, tokens or data is read here. An exec plugin or an auth provider is left to the `kubernetes` package,
in a process of its own (`cluster.plugins`): its import alone costs 220 ms of CPU and 43 MB, it sets no end to a plugin
that hangs, and it leaves keys in temporary files.
"""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from nplconf.cluster.api.access import Access, text, token
from nplconf.deadline import current
from nplconf.errors import BadConfigError, NplconfError, UnavailableError

PLUGINS = {"exec", "auth-provider"}
"""What a kubeconfig's user has when credentials must be asked for."""
REFUSED = {"as": "acts as another user", "username": "logs in with a password"}
PLUGIN_SECONDS = 15
SAID = 500
"""Characters of what a plugin says that are handed on."""


class _File(NamedTuple):
    """One file. content: its top-level mapping."""

    path: Path
    content: Mapping[str, Any]


def read(named: str) -> Access:
    """The current context of a kubeconfig file, or of several joined by colons: what comes first counts.

    Raises BadConfigError, PermissionDeniedError, UnavailableError when a plugin fails.
    """
    try:
        files = list(_files(named))
        return _current(files, f"--kubeconfig {':'.join(str(file.path) for file in files)}")
    except NplconfError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as err:
        raise BadConfigError(f"--kubeconfig {named}: {_missing(err)}") from None


def _missing(err: Exception) -> str:
    if isinstance(err, KeyError):
        return f"no {err.args[0]}"
    if isinstance(err, TypeError | AttributeError):
        return "its contexts, clusters or users are not as in a kubeconfig"
    return str(err)


# --- the files -------------------------------------------------------------------------------------------------------


def _files(named: str) -> Iterator[_File]:
    """The files that are there. One alone must be, and must not be empty."""
    paths = [Path(part).expanduser() for part in _parts(named) if part]
    several = [path for path in paths if os.path.lexists(path)] if len(paths) > 1 else []
    for path in several or paths[:1]:
        content = _parsed(path)
        if content is None and not several:
            raise ValueError("empty")
        if content is not None and not isinstance(content, dict):
            raise BadConfigError(f"--kubeconfig {path}: no kubeconfig")
        if content:
            yield _File(path, content)


def _parts(named: str) -> list[str]:
    return [named] if os.path.lexists(named) else named.split(os.pathsep)


def _parsed(path: Path) -> Any:
    """The file's YAML (or JSON)."""
    import yaml

    try:
        return yaml.load(text(path), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except yaml.YAMLError as err:
        raise BadConfigError(f"--kubeconfig {path}: no YAML: {' '.join(str(err).split())}") from None


# --- the current context ---------------------------------------------------------------------------------------------


def _current(files: list[_File], source: str) -> Access:
    chosen = next((f.content["current-context"] for f in files if f.content.get("current-context")), None)
    if chosen is None:
        raise KeyError("current-context")
    context = _named(files, "contexts", chosen).content["context"]
    of_cluster = _named(files, "clusters", context["cluster"])
    of_user = _named(files, "users", context["user"]) if context.get("user") else _File(Path(), {"user": None})
    cluster, user = of_cluster.content["cluster"], of_user.content["user"] or {}
    for key, what in REFUSED.items():
        if key in user:
            raise ValueError(f"{what} ({user[key]}), which is not supported")
    if PLUGINS & user.keys():
        return _from_plugin(user, files, source)
    server = str(cluster["server"]).rstrip("/")
    return Access(
        server=server,
        source=source,
        token=_token(user, of_user.path),
        ca=_pem(cluster, "certificate-authority", of_cluster.path) or None,
        certificate=_pem(user, "client-certificate", of_user.path),
        key=_pem(user, "client-key", of_user.path),
        verify=not _flag(cluster, "insecure-skip-tls-verify"),
        server_name=cluster.get("tls-server-name") or "",
        proxy=cluster.get("proxy-url") or _proxy(server),
    )


def _named(files: list[_File], section: str, name: object) -> _File:
    """The first entry of that name, and the file that it is in."""
    for path, content in files:
        for entry in content.get(section) or ():
            if entry["name"] == name:
                return _File(path, entry)
    raise LookupError(f"no {name!r} among its {section}")


def _token(user: Mapping[str, Any], path: Path) -> str:
    """The file's, which is renewed, before one that is written down."""
    if user.get("tokenFile"):
        return token(path.parent / user["tokenFile"])
    return str(user.get("token") or "").strip()


def _pem(part: Mapping[str, Any], name: str, path: Path) -> str:
    """What stands in the kubeconfig in base64, or in a file that it names, relative to its own place."""
    if data := part.get(f"{name}-data"):
        try:
            return base64.b64decode("".join(data.split()), validate=True).decode()
        except ValueError as err:
            raise ValueError(f"{name}-data is no base64 of a PEM: {err}") from None
    return text(path.parent / part[name]) if part.get(name) else ""


def _flag(part: Mapping[str, Any], name: str) -> bool:
    found = part.get(name) or False
    if not isinstance(found, bool):
        raise ValueError(f"{name} is {found!r}, neither true nor false")  # noqa: TRY004 - one kind of error for all
    return found


def _proxy(server: str) -> str:
    """The HTTP proxy that the environment names, unless it or the server's being on this machine excludes that."""
    if not any(name.lower() == "https_proxy" for name in os.environ):
        return ""
    import urllib.request

    target = urlsplit(server)
    proxies = urllib.request.getproxies()
    if urllib.request.proxy_bypass(target.netloc) or _near(target.hostname or "", proxies.get("no", "")):
        return ""
    return proxies.get(target.scheme, "")


def _near(host: str, excluded: str) -> bool:
    """A loopback address or one of an excluded network, which kubectl knows and urllib does not."""
    import ipaddress  # 5 ms that only a node with a proxy pays

    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    for part in excluded.split(","):
        with suppress(ValueError):
            if "/" in part and address in ipaddress.ip_network(part.strip(), strict=False):
                return True
    return address.is_loopback


# --- plugins ---------------------------------------------------------------------------------------------------------


def _from_plugin(user: Mapping[str, Any], files: list[_File], source: str) -> Access:
    """What `cluster.plugins` finds, in a process that is ended with all its children when it takes too long."""
    if "exec" in user and not user["exec"].get("command"):
        raise ValueError("its exec names no command")
    named = os.pathsep.join(str(file.path) for file in files)
    code, out, said = _ended([sys.executable, "-m", "nplconf.cluster.api.plugins", named], source)
    message = " ".join(said.split())
    message = message if len(message) <= SAID else f"{message[:SAID]}..."
    if code == BadConfigError.exit_code:
        raise BadConfigError(f"{source}: {message}")
    if code != 0:
        raise UnavailableError(f"{source}: no credentials from its plugin: {message or 'it says nothing'}")
    return Access(source=source, **json.loads(out))


def _ended(command: list[str], source: str) -> tuple[int, str, str]:
    """Run to its end, which comes in time: (exit code, stdout, stderr)."""
    seconds = current().left(PLUGIN_SECONDS)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            out, said = process.communicate(timeout=seconds)
        except BaseException as err:
            os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):  # its children have our pipes, until they are gone
                process.communicate(timeout=1)
            if isinstance(err, subprocess.TimeoutExpired):
                raise UnavailableError(f"{source}: its plugin gave no credentials in {seconds:.0f} s") from None
            raise
    return process.returncode, out.decode(errors="replace"), said.decode(errors="replace")
