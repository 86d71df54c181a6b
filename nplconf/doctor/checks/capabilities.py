"""Check `capabilities`: this user may also run `nplconf apply`."""

from nplconf.doctor.facts import Facts
from nplconf.doctor.facts.kernel import missing_capabilities
from nplconf.doctor.verdict import Check, Verdict, fail, ok


def capabilities(facts: Facts) -> Verdict:
    """No capability is missing."""
    if lacking := facts.read(missing_capabilities):
        return fail(
            f"{', '.join(sorted(lacking))} missing: iptables and conntrack cannot be used", "sudo nplconf doctor"
        )
    return ok("CAP_NET_ADMIN and CAP_NET_RAW are present")


CHECKS = (Check("capabilities", 30, capabilities),)
