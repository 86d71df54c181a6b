"""Advice that fits a container of a Pod: no systemd and no package manager is there, and sysctls are the node's.

A check names the command for a node that systemd runs. Here the few that differ are replaced, so that no check has to
know where it runs.
"""

import re
from collections.abc import Mapping

from nplconf.doctor.verdict import Verdict, ok

FIXES: Mapping[str, str] = {
    "capabilities": "add NET_ADMIN and NET_RAW to securityContext.capabilities.add of the container",
    "config": "correct config.yaml of the kustomization, and run kubectl apply -k again",
    "hold": "kubectl -n {namespace} logs daemonset/nplconf-hold && "
    "kubectl -n {namespace} rollout restart daemonset/nplconf-hold",
    "hold-store": "add --keep to the arguments of the container hold",
    "last-success": "kubectl -n {namespace} logs daemonset/nplconf -c watch",
}
"""By check: what replaces a fix that names systemd, root or a package."""
_ELSEWHERE = re.compile(r"systemctl|journalctl|install-units|sudo |editor |^nplconf (hold|apply)\b")
_NODES = re.compile(
    r"(sysctl|modprobe|ss|ip|nft|iptables\S*|ip6tables\S*|kill|rmdir|chmod|mkdir|rm|grubby|update-grub) "
)
_INSTALL = re.compile(r"(?:\S+ (?:install|add|-S)|install the package) (.+?)(?: of your distribution)?")
KEPT = "a parent process stores the sockets: they survive a crash of the daemon, and an update of the container"


def adapted(check: str, verdict: Verdict, namespace: str, *, keeps: bool) -> Verdict:
    """Return a verdict as it is meant in a Pod.

    Args:
        check: its name.
        verdict: as on a node.
        namespace: of the Pod.
        keeps: whether the hold daemon has a keeper.
    """
    if check == "units":
        return ok("not needed: Kubernetes starts the container, and starts it again when it ends")
    if check == "hold-store" and verdict.status != "ok" and verdict.checked and keeps:
        return ok(KEPT)
    if verdict.fix is None:
        return verdict
    return Verdict(verdict.status, verdict.message, _fix(check, verdict.fix, namespace))


def _fix(check: str, fix: str, namespace: str) -> str:
    if found := _INSTALL.fullmatch(fix):
        return f"add the package {found[1]} to the image"
    if _ELSEWHERE.search(fix):
        return FIXES.get(check, "kubectl -n {namespace} logs daemonset/nplconf -c watch").format(namespace=namespace)
    return f"on the node: {fix}" if _NODES.match(fix) else fix
