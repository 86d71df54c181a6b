"""Kubeconfig files: what the current context of one file or of several says.

Files, tokens and data that a kubeconfig names are read here. An exec plugin or an auth provider is left to
`credential_plugin`. Messages name the key that is wrong (`users[0].user.tokenFile`) and never quote its value.
"""

import base64
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from nplconf.cluster.api import credential_plugin
from nplconf.cluster.api.access import Access, text, token
from nplconf.errors import BadConfigError, NplconfError

PLUGINS = ("exec", "auth-provider")
"""Keys of a user whose credentials a program returns."""
REFUSED = {
    "as": "acts as another user",
    "as-uid": "acts as another user",
    "as-groups": "acts as another user",
    "as-user-extra": "acts as another user",
    "username": "logs in with a password",
}
LONGEST_PATH = 4096
"""Bytes of a path that Linux accepts."""


class _File(NamedTuple):
    """One file. content: its top-level mapping."""

    path: Path
    content: Mapping[str, Any]


class _Part(NamedTuple):
    """A mapping inside a kubeconfig. place: its path for messages ("users[0].user"); directory: of its file."""

    place: str
    content: Mapping[str, Any]
    directory: Path = Path()

    def wrong(self, key: str, what: str) -> ValueError:
        """Return the error that names a key."""
        return ValueError(f"{self.place}.{key} {what}")

    def text(self, key: str) -> str:
        """Return a text; "" where the key is missing, null or empty."""
        found = self.content.get(key)
        if found is None:
            return ""
        if not isinstance(found, str):
            raise self.wrong(key, "is not a text")
        return found.strip()

    def demanded(self, key: str) -> str:
        """Return a text that must be there."""
        found = self.text(key)
        if not found:
            raise self.wrong(key, "is missing")
        return found

    def flag(self, key: str) -> bool:
        """Return a boolean; False where the key is missing or null."""
        found = self.content.get(key)
        if found is not None and not isinstance(found, bool):
            raise self.wrong(key, "is neither true nor false")
        return bool(found)

    def file(self, key: str) -> tuple[Path, str]:
        """Return the file that a key names, and its name for messages: a secret may stand there by mistake."""
        named = self.demanded(key)
        path = self.directory / named
        with suppress(OSError, ValueError):
            if path.exists() or (named.startswith("/") and path.parent.is_dir()):
                return path, f"{self.place}.{key} ({path})"
        return path, f"{self.place}.{key}"


def read(named: str) -> Access:
    """Return the current context of a kubeconfig file, or of several joined by colons: the first one takes precedence.

    Raises BadConfigError, PermissionDeniedError, UnavailableError when a plugin fails.
    """
    if len(named) > LONGEST_PATH or not named.isprintable():
        raise BadConfigError("--kubeconfig (or $KUBECONFIG) is not the name of a file")
    try:
        files = list(_files(named))
    except ValueError as err:
        raise BadConfigError(f"--kubeconfig {named}: {err}") from None
    source = f"--kubeconfig {':'.join(str(file.path) for file in files)}"
    try:
        return _current(files, source)
    except NplconfError as err:
        raise err if str(err).startswith(source) else type(err)(f"{source}: {err}") from None
    except ValueError as err:
        raise BadConfigError(f"{source}: {err}") from None


# --- the files -------------------------------------------------------------------------------------------------------


def _files(named: str) -> Iterator[_File]:
    """Yield the files that exist. If only one is named, it must exist and must not be empty."""
    paths = [Path(part).expanduser().absolute() for part in _parts(named) if part]
    several = [path for path in paths if os.path.lexists(path)] if len(paths) > 1 else []
    for path in several or paths[:1]:
        content = _parsed(path)
        if content is None and not several:
            raise ValueError("the file is empty")
        if content is not None and not isinstance(content, dict):
            raise BadConfigError(f"--kubeconfig {path}: no kubeconfig")
        if content:
            yield _File(path, content)


def _parts(named: str) -> list[str]:
    return [named] if os.path.lexists(named) else named.split(os.pathsep)


def _parsed(path: Path) -> Any:
    """Return the content of a YAML (or JSON) file. PyYAML's messages quote the file: only the line is used."""
    import yaml

    content = text(path, f"--kubeconfig {path}")
    try:
        return yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except Exception as err:  # noqa: BLE001 - tags make PyYAML raise KeyError, ValueError, RecursionError and others
        mark = getattr(err, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise BadConfigError(f"--kubeconfig {path}: no YAML{where}") from None


# --- the current context ---------------------------------------------------------------------------------------------


def _current(files: list[_File], source: str) -> Access:
    chosen = next((f.content["current-context"] for f in files if f.content.get("current-context")), None)
    if chosen is None:
        raise ValueError("current-context is missing")
    context = _entry(files, "context", chosen, "current-context")
    cluster = _entry(files, "cluster", context.demanded("cluster"), f"{context.place}.cluster")
    named = context.text("user")
    user = _entry(files, "user", named, f"{context.place}.user") if named else _Part("user", {})
    for key, what in REFUSED.items():
        if user.content.get(key):
            raise user.wrong(key, f"is set: the user {what}, which is not supported")
    server = cluster.demanded("server").rstrip("/")
    return Access(
        server=server,
        source=source,
        ca=_pem(cluster, "certificate-authority") or None,
        verify=not cluster.flag("insecure-skip-tls-verify"),
        server_name=cluster.text("tls-server-name"),
        proxy=cluster.text("proxy-url") or _proxy(server),
        **_credentials(user, files, source),
    )


def _credentials(user: _Part, files: list[_File], source: str) -> dict[str, Any]:
    """Return the fields of an `Access` that identify the user."""
    plugin = next((key for key in PLUGINS if user.content.get(key)), None)
    if plugin:
        settings = user.content[plugin]
        if not isinstance(settings, dict):
            raise user.wrong(plugin, "is not a mapping")
        _Part(f"{user.place}.{plugin}", settings).demanded("command" if plugin == "exec" else "name")
        found = credential_plugin.ask([str(file.path) for file in files], source, user.content)
        return {**found, "renewed": True}
    fields = {
        "certificate": _pem(user, "client-certificate"),
        "key": _pem(user, "client-key"),
    }
    if user.text("tokenFile"):  # it takes precedence over `token`, as it is renewed
        path, name = user.file("tokenFile")
        return {**fields, "token": token(path, name), "token_file": str(path)}
    return {**fields, "token": user.text("token")}


def _entry(files: list[_File], kind: str, name: object, reference: str) -> _Part:
    """Return the first entry of that name. kind: "context", "cluster", "user"; reference: the key with the name."""
    for path, content in files:
        entries = content.get(f"{kind}s") or ()
        if not isinstance(entries, list | tuple):
            raise ValueError(f"{kind}s is not a list")  # noqa: TRY004 - one kind of error for all
        for index, entry in enumerate(entries):
            place = f"{kind}s[{index}]"
            if not isinstance(entry, dict) or "name" not in entry:
                raise ValueError(f"{place}.name is missing")
            if entry["name"] == name:
                return _part(entry, kind, place, path.parent)
    raise ValueError(f"{reference} names an entry that is missing in {kind}s")


def _part(entry: Mapping[str, Any], kind: str, place: str, directory: Path) -> _Part:
    content = entry.get(kind)
    if content is None and kind == "user":
        content = {}
    if not isinstance(content, dict):
        raise ValueError(f"{place}.{kind} is missing")  # noqa: TRY004 - one kind of error for all
    return _Part(f"{place}.{kind}", content, directory)


def _pem(part: _Part, name: str) -> str:
    """Return what the kubeconfig holds in base64, or in a file that it names, relative to its own place.

    Comments around PEM blocks may have any encoding, so bytes that are not UTF-8 are replaced.
    """
    if data := part.text(f"{name}-data"):
        try:
            return base64.b64decode("".join(data.split()), validate=True).decode(errors="replace")
        except ValueError:
            raise part.wrong(f"{name}-data", "is no base64") from None
    return text(*part.file(name), errors="replace") if part.text(name) else ""


def _proxy(server: str) -> str:
    """Return the HTTP proxy that the environment names, unless NO_PROXY or a loopback address excludes the server."""
    if not any(name.lower() == "https_proxy" for name in os.environ):
        return ""
    import urllib.request

    target = urlsplit(server)
    proxies = urllib.request.getproxies()
    if urllib.request.proxy_bypass(target.netloc) or _near(target.hostname or "", proxies.get("no", "")):
        return ""
    found = proxies.get(target.scheme, "")
    return found if "://" in found or not found else f"http://{found}"


def _near(host: str, excluded: str) -> bool:
    """Return whether a host is excluded as a loopback address or by a network: urllib knows neither."""
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
