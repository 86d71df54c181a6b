"""Check `credentials`: those for the API server do not end soon, and are not sent in clear text."""

import time
from datetime import UTC, datetime
from typing import NamedTuple

from nplconf.cluster.api import credentials as finding
from nplconf.cluster.api import validity
from nplconf.cluster.api.access import Access
from nplconf.cluster.api.validity import Validity
from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.facts.cluster import UNREAD, answers
from nplconf.doctor.verdict import Check, Verdict, fail, ok, unchecked, warn

RENEW = "kubectl create token nplconf --namespace nplconf --duration 720h  # and replace the old one by it"
ENCRYPT = "kubectl config set-cluster CLUSTER --server https://HOST:PORT  # in the kubeconfig of nplconf"


class Used(NamedTuple):
    """The credentials of this process. now: seconds since 1970."""

    access: Access
    validity: Validity | None
    now: float


def used(facts: Facts) -> Used | Unknown | None:
    """Return the credentials that the cluster was asked with; None where it is read from files."""
    if facts.settings.cluster_state:
        return None
    facts.read(answers)
    access = finding.used()
    return Used(access, validity.of(access), time.time()) if access else UNREAD


def credentials(facts: Facts) -> Verdict:
    """The credentials last, and nobody can read them on the way."""
    found = facts.read(used)
    if found is None:
        return ok("not used: the cluster is read from files")
    if isinstance(found, Unknown):
        return unchecked(found)
    if found.access.in_clear_text:
        return warn(f"{found.access.server}: the credentials are sent in clear text (http://)", ENCRYPT)
    return _lasting(found)


def _lasting(found: Used) -> Verdict:
    access, known, now = found
    if known is None:
        return ok("a plugin renews them" if access.renewed else f"no known end ({access.source})")
    place = access.token_file or access.source
    end = datetime.fromtimestamp(known.ends, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if known.ends <= now:
        return fail(f"the {known.what} expired on {end}: {place}", RENEW)
    if known.ends - now < known.notice:
        return warn(f"the {known.what} expires on {end}: {place}", RENEW)
    return ok(f"the {known.what} expires on {end}")


CHECKS = (Check("credentials", 180, credentials),)
