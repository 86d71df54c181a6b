"""The access to an API server: its address, and the credentials for it.

No message of this module quotes a value of a kubeconfig: a token in the wrong field would reach the journal.
"""

import os
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from nplconf.errors import BadConfigError, PermissionDeniedError

_HOST = re.compile(r"[\w.:%-]+")
_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----[\x00-\x7f]*?-----END \1-----")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A server and the credentials for it.

    Args:
        source: where the credentials come from, for messages.
        token_file: the file that the token was read from, "" where it stands in the kubeconfig.
        renewed: a plugin returns new credentials for each run.
        ca: PEM; None means the authorities that the system trusts.
        certificate, key: PEM.
        verify: False means that the server's certificate is not verified.

    Raises:
        BadConfigError: for a value that could not be sent.
    """

    server: str
    source: str
    token: str = field(default="", repr=False)
    token_file: str = ""
    renewed: bool = False
    ca: str | None = field(default=None, repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    verify: bool = True
    server_name: str = ""
    proxy: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Refuse what would fail in the midst of a request."""
        server = _url(self.server)
        if server is None or server.scheme not in ("http", "https"):
            raise self._wrong("its server is not a URL like https://HOST:PORT")
        if "@" in server.netloc or server.query or server.fragment:
            raise self._wrong("its server has more than a scheme, a host, a port and a path")
        proxy = _url(self.proxy) if self.proxy else None
        if self.proxy and (proxy is None or proxy.scheme != "http"):
            raise self._wrong("its proxy (proxy-url or HTTPS_PROXY) is not a URL like http://HOST:PORT")
        if self.server_name and not _is_host(self.server_name):
            raise self._wrong("its tls-server-name is not a host name")
        if not (self.token.isascii() and self.token.isprintable()):
            raise self._wrong("its token has characters that no token has")

    @property
    def encrypted(self) -> bool:
        """The server is reached over TLS. The scheme of a URL is not case-sensitive."""
        return urlsplit(self.server).scheme == "https"

    @property
    def in_clear_text(self) -> bool:
        """Whoever is on the way to the server can read the credentials."""
        return not self.encrypted and bool(self.token)

    def headers(self) -> dict[str, str]:
        """Return the headers that every request carries."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS settings; None for plain HTTP. Raises BadConfigError."""
        if not self.encrypted:
            return None
        try:
            context = ssl.create_default_context(cadata=_pem(self.ca) if self.ca else None)
            # Python 3.13 demands key identifiers that many cluster CAs lack; Go and curl accept them
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if not self.verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if self.certificate:
                _load(context, _pem(self.certificate), _pem(self.key))
        except (OSError, ValueError, TypeError) as err:  # OSError: ssl's own is one
            raise self._wrong(f"a certificate or key in it is broken: {err}") from None
        return context

    def rejected(self) -> str:
        """Return what to say when the server answers 401."""
        if self.token:
            place = f"Token file: {self.token_file}" if self.token_file else f"Credentials: {self.source}"
            return (
                "The API server rejected our token (401)."
                f" It may have expired, or the Node object was re-created. {place}"
            )
        if self.certificate:
            return (
                "The API server rejected our client certificate (401)."
                f" It may have expired, or another authority signed it. Credentials: {self.source}"
            )
        return f"The API server demands credentials (401), and there are none in {self.source}; see --kubeconfig"

    def _wrong(self, what: str) -> BadConfigError:
        return BadConfigError(f"{self.source}: {what}; see --kubeconfig")


def _pem(text: str) -> str:
    """Return the PEM blocks of a text. Between them people write comments, in any alphabet."""
    blocks = [found.group() for found in _PEM_BLOCK.finditer(text)]
    if not blocks:
        raise ValueError("it contains no PEM block")
    return "\n".join(blocks) + "\n"


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load a client certificate. OpenSSL reads only files, so they are put into one in memory, which has no name."""
    handle = os.memfd_create("client")
    try:
        os.write(handle, f"{certificate}\n{key}".encode())
        # without a password at hand OpenSSL asks the terminal for one
        context.load_cert_chain(f"/proc/self/fd/{handle}", password="")
    finally:
        os.close(handle)


def text(path: Path, name: str = "", *, errors: str = "strict") -> str:
    """Return the text of a file with credentials.

    Args:
        path: the file.
        name: how messages name the file; its path where it is empty.
        errors: what to do with bytes that are not UTF-8, as for `bytes.decode`.

    Raises:
        BadConfigError, PermissionDeniedError: the file cannot be read.
    """
    name = name or str(path)
    try:
        return path.read_text(encoding="utf-8", errors=errors)
    except PermissionError:
        raise PermissionDeniedError(f"{name}: no permission to read the file; see --kubeconfig") from None
    except (OSError, ValueError) as err:
        reason = (err.strerror or "cannot be read") if isinstance(err, OSError) else "not a text file"
        raise BadConfigError(f"{name}: {reason}; see --kubeconfig") from None


def token(path: Path, name: str = "") -> str:
    """Return a file's token. Raises as `text`, and for an empty file: a request without token has no rights."""
    if found := text(path, name).strip():
        return found
    raise BadConfigError(f"{name or path}: no token in it; see --kubeconfig")


def _url(found: str) -> SplitResult | None:
    """Return the parts of a URL with a host; None for anything else."""
    try:
        url = urlsplit(found)
        whole = found.isprintable() and " " not in found and _is_host(url.hostname or "") and url.port != 0
    except ValueError:  # brackets, or a port that is not a number
        return None
    return url if whole else None


def _is_host(name: str) -> bool:
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return bool(_HOST.fullmatch(name))
