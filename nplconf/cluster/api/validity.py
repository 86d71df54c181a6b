"""From when to when credentials are valid, as they say themselves: the `exp` of a JWT, the dates of a certificate.

Nothing is verified here: the API server does that. What cannot be read has no known end.
"""

import base64
import calendar
import json
import re
import ssl
from collections.abc import Iterator
from typing import NamedTuple

from nplconf.cluster.api.access import Access

SHORT_NOTICE = 7 * 86400.0
"""Seconds. Credentials that end within them are about to end, unless their whole life is short."""
LAST_PART = 0.1
"""Of a life. The kubelet renews tokens after four fifths, client certificates after seven tenths."""
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[\x00-\x7f]*?-----END CERTIFICATE-----")
_SEQUENCE, _VERSION = 0x30, 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18


class Validity(NamedTuple):
    """Seconds since 1970. begins: None where nobody says. what: "token" or "client certificate"."""

    ends: float
    begins: float | None
    what: str

    @property
    def notice(self) -> float:
        """Return how many seconds before the end somebody should act."""
        if self.begins is None or self.begins >= self.ends:
            return SHORT_NOTICE
        return min(SHORT_NOTICE, LAST_PART * (self.ends - self.begins))


def of(access: Access) -> Validity | None:
    """Return the validity that ends first; None where none is known, or a plugin renews the credentials."""
    if access.renewed:
        return None
    found = (of_token(access.token), of_certificate(access.certificate))
    return min(filter(None, found), default=None)


def of_token(token: str) -> Validity | None:
    """Return the validity of a JWT; None for any other token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        begins = claims.get("nbf", claims.get("iat"))
        return Validity(float(claims["exp"]), None if begins is None else float(begins), "token")
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def of_certificate(pem: str) -> Validity | None:
    """Return the validity of the first certificate; None where there is none, or it cannot be read."""
    found = _CERTIFICATE.search(pem)
    if not found:
        return None
    try:
        begins, ends = _dates(ssl.PEM_cert_to_DER_cert(found.group()))
    except (ValueError, IndexError, StopIteration, UnicodeDecodeError):
        return None
    return Validity(ends, begins, "client certificate")


def _dates(der: bytes) -> tuple[float, float]:
    """Return notBefore and notAfter: Certificate > TBSCertificate > [version], serial, signature, issuer, validity."""
    _, certificate = next(_elements(der))
    _, signed = next(_elements(certificate))
    fields = [field for field in _elements(signed) if field[0] != _VERSION]
    tag, validity = fields[3]
    if tag != _SEQUENCE:
        raise ValueError("no validity")
    begins, ends = (_time(*date) for date in _elements(validity))
    return begins, ends


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (tag, content) of each element of a DER sequence. Raises ValueError if it is cut off."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:  # the length of the length
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size]), at + size
        if at + length > len(der):
            raise ValueError("cut off")
        yield tag, der[at : at + length]
        at += length


def _time(tag: int, content: bytes) -> float:
    """Return seconds since 1970 of 260102030405Z, or 20260102030405Z."""
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("no date")
    numbers = [int(text[start:end]) for start, end in ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14))]
    return float(calendar.timegm((*numbers, 0, 0, 0)))
