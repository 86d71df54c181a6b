"""Check `api-rights`: everything that a run reads and writes in the cluster is allowed."""

import contextlib
import os
import re
from pathlib import Path

from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.facts.cluster import answers
from nplconf.doctor.facts.units import JOB
from nplconf.doctor.verdict import Check, Verdict, fail, ok, unchecked
from nplconf.errors import NplconfError
from nplconf.install import systemd

GRANT = "nplconf example rbac | kubectl apply -f -  # or bind its ClusterRole to the account of the kubeconfig"


PLUGIN = re.compile(r'(?m)(?:^|[\s{,])"?(?:exec|auth-provider)"?\s*:')
HOME = "/etc/systemd/system/nplconf.service.d/home.conf"


def needs_home(facts: Facts) -> str:
    """Return why the credential plugin of the kubeconfig fails without HOME, which systemd units do not have; "" else.

    Asked only where a unit runs nplconf without HOME, and the plugin works with the HOME of this process.
    """
    home, rights = os.environ.get("HOME"), facts.read(answers).rights
    path = facts.settings.kubeconfig or os.environ.get("KUBECONFIG") or ""
    if home is None or isinstance(rights, Unknown) or not _has_plugin(path) or not _unit_without_home():
        return ""
    try:
        del os.environ["HOME"]
        facts.sources.cluster().rights(facts.settings.node, events=not facts.settings.no_events)
    except NplconfError as err:
        return str(err)
    finally:
        os.environ["HOME"] = home
    return ""


def _has_plugin(path: str) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return PLUGIN.search(Path(path).read_text("utf-8")) is not None
    return False


def _unit_without_home() -> bool:
    with contextlib.suppress(NplconfError):
        found = systemd.properties(JOB, "LoadState", "Environment") if systemd.runs() else {}
        return found.get("LoadState") == "loaded" and "HOME=" not in found.get("Environment", "")
    return False


def api_rights(facts: Facts) -> Verdict:
    """No permission is missing."""
    rights = facts.read(answers).rights
    if isinstance(rights, Unknown):
        if rights.see:
            return unchecked(rights)
        return fail(f"cannot check permissions: {rights.why}", rights.fix or "nplconf plan --kubeconfig FILE")
    missing = [right for right in rights if not right.allowed]
    if missing:
        return fail(f"not allowed: {', '.join(right.what for right in missing)}", missing[0].fix or GRANT)
    if why := facts.read(needs_home):
        message = f"the credential plugin of the kubeconfig fails without HOME, which {JOB} does not have: {why}"
        drop_in = f"mkdir -p {Path(HOME).parent} && printf '[Service]\\nEnvironment=HOME=/root\\n' >{HOME}"
        return fail(message, f"{drop_in} && systemctl daemon-reload")
    return ok(f"allowed: {', '.join(right.what for right in rights)}")


CHECKS = (Check("api-rights", 140, api_rights),)
