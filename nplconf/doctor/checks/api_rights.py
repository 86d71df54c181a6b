"""Check `api-rights`: everything that a run reads and writes in the cluster is allowed."""

from nplconf.doctor.facts import Facts, Unknown
from nplconf.doctor.facts.cluster import answers
from nplconf.doctor.verdict import Check, Verdict, fail, ok, unchecked

GRANT = "nplconf example rbac | kubectl apply -f -  # or bind its ClusterRole to the account of the kubeconfig"


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
    return ok(f"allowed: {', '.join(right.what for right in rights)}")


CHECKS = (Check("api-rights", 140, api_rights),)
