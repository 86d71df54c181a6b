"""A server and its credentials: what is refused, and how TLS is spoken."""

import contextlib
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from nplconf.cluster.api.access import Access
from nplconf.cluster.api.transport import Deadline, Transport
from nplconf.errors import BadConfigError, UnavailableError

TOKEN = "canary-token"


def access(server: str, **fields: Any) -> Access:
    return Access(server=server, source="a test", **fields)


# --- schemes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["https", "HTTPS", "Https", "hTtPs"])
def test_a_token_is_sent_over_tls_whatever_the_case_of_the_scheme(scheme: str) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hear() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                heard.append(connection.recv(65536))

        thread = threading.Thread(target=hear)
        thread.start()
        server = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        with Deadline(5) as deadline, pytest.raises(UnavailableError):
            Transport(access(server, token=TOKEN)).send("GET", "/", deadline)
        thread.join()

    assert heard[0][0] == 22  # a TLS handshake
    assert TOKEN.encode() not in heard[0]


def test_plain_http_has_no_tls() -> None:
    assert access("HTTP://127.0.0.1:1").tls() is None


@pytest.mark.parametrize(
    "server",
    [
        "https://me:canary@10.0.0.1",
        "https://10.0.0.1/?token=canary",
        "https://10.0.0.1#canary",
        "canary",
        "ht\ntps://10.0.0.1",
        " https://10.0.0.1",
    ],
)
def test_a_server_of_another_form_is_refused_and_not_shown(server: str) -> None:
    with pytest.raises(BadConfigError, match="its server") as caught:
        access(server)

    assert "canary" not in str(caught.value)


# --- certificates ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 by an authority without key identifiers, with its key, and the authority."""
    directory = tmp_path_factory.mktemp("bare")
    (directory / "ca.cnf").write_text(
        "[req]\ndistinguished_name=dn\nx509_extensions=v3\nprompt=no\n[dn]\nCN=ca\n[v3]\nbasicConstraints=CA:TRUE\n"
    )
    (directory / "leaf.ext").write_text("subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=none\n")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -config ca.cnf -keyout ca.key -out ca.crt",
        "req -newkey rsa:2048 -nodes -subj /CN=leaf -keyout leaf.key -out leaf.csr",
        "x509 -req -in leaf.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile leaf.ext -out leaf.crt",
    ):
        subprocess.run(["openssl", *command.split()], cwd=directory, check=True, capture_output=True)
    (directory / "both.pem").write_text((directory / "leaf.crt").read_text() + (directory / "leaf.key").read_text())
    return directory / "both.pem", directory / "ca.crt"


def handshake(both: Path, wanted: Access) -> None:
    """Speak TLS to a server with this certificate. Raises ssl.SSLError."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(both)
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def serve() -> None:
            with contextlib.suppress(OSError):
                server.wrap_socket(theirs, server_side=True).close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        context = wanted.tls()
        assert context
        context.wrap_socket(ours, server_hostname="127.0.0.1").close()


def test_an_authority_without_key_identifiers_is_accepted_as_on_old_pythons(
    bare: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    both, ca = bare
    made = ssl.create_default_context

    def strict(**how: Any) -> ssl.SSLContext:
        context = made(**how)
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)

    handshake(both, access("https://127.0.0.1", ca=ca.read_text()))


def test_an_unknown_authority_is_still_refused(bare: tuple[Path, Path]) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(bare[0], access("https://127.0.0.1"))


def test_text_around_pem_blocks_is_passed_over(bare: tuple[Path, Path]) -> None:
    both, ca = bare
    comment = "# Zertifikat für den Bürgerdienst \u20ac\n"
    certificate, key = (comment + both.read_text() + comment for _ in range(2))

    handshake(
        both, access("https://127.0.0.1", ca=comment + ca.read_text() + comment, certificate=certificate, key=key)
    )


@pytest.mark.parametrize(
    "ca", ["nothing", "gr\u00fcn", "-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----"]
)
def test_a_broken_authority_is_bad_configuration_and_not_shown(ca: str) -> None:
    with pytest.raises(BadConfigError, match="certificate or key in it is broken") as caught:
        access("https://127.0.0.1", ca=ca).tls()

    assert "canary" not in str(caught.value)


# --- 401 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"token": "t", "token_file": "/etc/token"}, ("rejected our token (401)", "Token file: /etc/token")),
        ({"token": "t"}, ("rejected our token (401)", "re-created", "Credentials: a test")),
        ({"certificate": "c"}, ("rejected our client certificate (401)", "Credentials: a test")),
        ({}, ("demands credentials (401), and there are none in a test", "--kubeconfig")),
    ],
)
def test_a_401_names_the_credentials_that_were_rejected(fields: dict[str, str], parts: tuple[str, ...]) -> None:
    output = access("https://127.0.0.1", **fields).rejected()

    assert [part for part in parts if part not in output] == []
