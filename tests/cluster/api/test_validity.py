"""The end of credentials, from the credentials themselves."""

import base64
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplconf.cluster.api import validity
from nplconf.cluster.api.access import Access
from nplconf.cluster.api.validity import SHORT_NOTICE, Validity

DAY = 86400


def jwt(claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


def certificate(directory: Path, days: int) -> str:
    """Self-signed, valid from now on."""
    command = f"req -x509 -newkey rsa:2048 -nodes -subj /CN=a -days {days} -keyout {directory}/k -out {directory}/c"
    subprocess.run(["openssl", *command.split()], check=True, capture_output=True)
    return (directory / "c").read_text()


def access(**fields: Any) -> Access:
    return Access(server="https://10.0.0.1", source="a test", **fields)


@pytest.mark.parametrize("claims", [{"exp": 2000, "iat": 1000}, {"exp": 2000, "nbf": 1000, "iat": 5}, {"exp": 2000.0}])
def test_a_token_ends_at_its_expiry(claims: dict[str, Any]) -> None:
    found = validity.of_token(jwt(claims))

    assert found == Validity(2000, 1000 if len(claims) > 1 else None, "token")


@pytest.mark.parametrize(
    "token", ["", "opaque", "a.b", "a.b.c", jwt({}), jwt([]), jwt({"exp": "x"}), jwt({"exp": None})]
)
def test_an_opaque_token_has_no_known_end(token: str) -> None:
    assert validity.of_token(token) is None


@pytest.mark.parametrize("days", [10, 36500])  # beyond 2050 a certificate has another form of date
def test_a_certificate_ends_at_its_date(tmp_path: Path, days: int) -> None:
    found = validity.of_certificate("# W\u00f6rter\n" + certificate(tmp_path, days))

    assert found
    assert found.ends == pytest.approx(time.time() + days * DAY, abs=60)
    assert found.begins == pytest.approx(time.time(), abs=60)


@given(der=st.binary(max_size=60))
def test_bytes_that_are_no_certificate_have_no_known_end(der: bytes) -> None:
    body = base64.b64encode(der).decode()

    assert validity.of_certificate(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----") is None


def test_a_certificate_that_is_cut_off_anywhere_has_no_known_end_or_the_same(tmp_path: Path) -> None:
    pem = certificate(tmp_path, 10)
    whole = validity.of_certificate(pem)
    body = base64.b64decode("".join(pem.splitlines()[1:-1]))

    for length in range(len(body)):
        text = base64.b64encode(body[:length]).decode()
        assert validity.of_certificate(f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----") in (
            None,
            whole,
        )


def test_what_ends_first_counts(tmp_path: Path) -> None:
    pem = certificate(tmp_path, 10)

    assert validity.of(access(token=jwt({"exp": 2000}), certificate=pem)) == Validity(2000, None, "token")


def test_what_a_plugin_renews_has_no_end() -> None:
    assert validity.of(access(token=jwt({"exp": 2000}), renewed=True)) is None


def test_a_short_life_needs_a_short_notice() -> None:
    assert Validity(3600, 0, "token").notice == 360
    assert Validity(365 * DAY, 0, "token").notice == SHORT_NOTICE
    assert Validity(3600, None, "token").notice == SHORT_NOTICE
