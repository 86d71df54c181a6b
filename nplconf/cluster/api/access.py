"""What a request to an API server needs to know: where it goes, and what it says of us."""

import os
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from nplconf.errors import BadConfigError, PermissionDeniedError

_HOST = re.compile(r"[\w.:%-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A server and our credentials for it. source: what they come from, for messages. ca, certificate and key: PEM.

    ca None: what the system trusts. verify False: the server's certificate is not looked at. Raises BadConfigError for
    what could not even be sent.
    """

    server: str
    source: str
    token: str = field(default="", repr=False)
    ca: str | None = None
    certificate: str = ""
    key: str = field(default="", repr=False)
    verify: bool = True
    server_name: str = ""
    proxy: str = ""

    def __post_init__(self) -> None:
        """Refuse what would fail in the midst of a request, and never show a token."""
        if not _is_url(self.server, "http", "https"):
            raise BadConfigError(f"{self.source}: {self.server!r} is no URL of a server; see --kubeconfig")
        if self.proxy and not _is_url(self.proxy, "http"):
            raise BadConfigError(f"{self.source}: the proxy {self.proxy!r} is none that is spoken to in HTTP")
        if self.server_name and not _is_host(self.server_name):
            raise BadConfigError(f"{self.source}: {self.server_name!r} is no name of a server; see --kubeconfig")
        if not (self.token.isascii() and self.token.isprintable()):
            raise BadConfigError(f"{self.source}: its token has characters that no token has; see --kubeconfig")

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
        except (OSError, ValueError) as err:  # OSError: ssl's own is one
            raise BadConfigError(
                f"{self.source}: a certificate or key in it is broken: {err}; see --kubeconfig"
            ) from None
        return context


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """OpenSSL reads files alone; this one is in memory and has no name."""
    handle = os.memfd_create("client")
    try:
        os.write(handle, f"{certificate}\n{key}\n".encode())
        # without a password at hand OpenSSL asks the terminal for one
        context.load_cert_chain(f"/proc/self/fd/{handle}", password="")
    finally:
        os.close(handle)


def text(path: Path) -> str:
    """A file with credentials. Raises BadConfigError, PermissionDeniedError."""
    try:
        return path.read_text(encoding="utf-8")
    except PermissionError:
        raise PermissionDeniedError(
            f"{path}: not readable for us; it is named by --kubeconfig or the environment"
        ) from None
    except (OSError, ValueError) as err:
        reason = err.strerror if isinstance(err, OSError) else "no text"
        raise BadConfigError(f"{path}: {reason}; --kubeconfig names a file with credentials") from None


def token(path: Path) -> str:
    """A file's token. Raises as `text`, and for one that is empty: half-written, it would make us nobody."""
    if found := text(path).strip():
        return found
    raise BadConfigError(f"{path}: no token in it; --kubeconfig names a file with credentials")


def _is_url(found: str, *schemes: str) -> bool:
    try:
        url = urlsplit(found)
        return url.scheme in schemes and _is_host(url.hostname or "") and url.port != 0
    except ValueError:  # brackets, or a port that is no number
        return False


def _is_host(name: str) -> bool:
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return bool(_HOST.fullmatch(name))
