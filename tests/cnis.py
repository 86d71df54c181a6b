"""The POSTROUTING rules of CNIs and kube-proxy, in their own order: each as (chains, rules of POSTROUTING).

From the sources of: flannel 0.14 (`appended`) and 0.25, weave 2.8 without its ipset, Calico 3.27, Cilium 1.15, the
plugins bridge and portmap 1.4, kube-proxy 1.30, the AWS VPC CNI 1.18. The Pods of the node are in 10.244.3.0/24.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Rules(NamedTuple):
    """chains: the CNI's own. base: its rules in POSTROUTING, in order. first: it puts them in front."""

    chains: Mapping[str, Sequence[str]]
    base: Sequence[str]
    first: bool = False

    def text(self) -> str:
        """For `iptables-restore --noflush`."""
        lines = ["*nat", *(f":{name} - [0:0]" for name in self.chains)]
        lines += [f"-A {name} {rule}" for name, rules in self.chains.items() for rule in rules]
        if self.first:
            lines += [f"-I POSTROUTING {place} {rule}" for place, rule in enumerate(self.base, 1)]
        else:
            lines += [f"-A POSTROUTING {rule}" for rule in self.base]
        return "\n".join((*lines, "COMMIT", ""))


CALICO = Rules(
    {
        "cali-fip-snat": (),
        "cali-nat-outgoing": (),
        "cali-POSTROUTING": (
            '-m comment --comment "cali:Z-c7XtVd2Bq7s_hA" -j cali-fip-snat',
            '-m comment --comment "cali:nYKhEzDlr11Jccal" -j cali-nat-outgoing',
            (
                '-o tunl0 -m comment --comment "cali:SXWvdsbh4Mw7wOln" -m addrtype ! --src-type LOCAL --limit-iface-out'
                " -m addrtype --src-type LOCAL -j MASQUERADE --random-fully"
            ),
        ),
    },
    ('-m comment --comment "cali:O3lYWMrLQYEMJtB5" -j cali-POSTROUTING',),
    first=True,
)
KUBE_PROXY = Rules(
    {
        "KUBE-POSTROUTING": (
            "-m mark ! --mark 0x4000/0x4000 -j RETURN",
            "-j MARK --set-xmark 0x4000/0x0",
            '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
        )
    },
    ('-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',),
    first=True,
)
PORTMAP = Rules(
    {"CNI-HOSTPORT-MASQ": ("-m mark --mark 0x2000/0x2000 -j MASQUERADE",)},
    ('-m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ',),
    first=True,
)
HARMLESS = {"calico": CALICO, "kube-proxy": KUBE_PROXY, "portmap": PORTMAP}
"""Rules that may precede nplconf's jump."""

HARMFUL = {
    "flannel-old": Rules(
        {},
        (
            "-s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN",
            "-s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully",
            "! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE --random-fully",
        ),
    ),
    "flannel": Rules(
        {
            "FLANNEL-POSTRTG": (
                "-m mark --mark 0x4000/0x4000 -j RETURN",
                "-s 10.244.3.0/24 -d 10.244.0.0/16 -j RETURN",
                "-s 10.244.0.0/16 -d 10.244.3.0/24 -j RETURN",
                "! -s 10.244.0.0/16 -d 10.244.3.0/24 -j RETURN",
                "-s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully",
                "! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE --random-fully",
            )
        },
        ('-m comment --comment "flanneld masq" -j FLANNEL-POSTRTG',),
    ),
    "weave": Rules(
        {
            "WEAVE": (
                "-s 10.244.0.0/16 -d 224.0.0.0/4 -j RETURN",
                "! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE",
                "-s 10.244.0.0/16 ! -d 10.244.0.0/16 -j MASQUERADE",
            )
        },
        ("-j WEAVE",),
    ),
    "bridge": Rules(
        {"CNI-5f2a": ("-d 10.244.3.0/24 -j ACCEPT", "! -d 224.0.0.0/4 -j MASQUERADE")},
        ('-s 10.244.3.1/32 -m comment --comment "name: \\"cbr0\\" id: \\"5f2a\\"" -j CNI-5f2a',),
    ),
    "accept": Rules({}, ("-d 10.244.0.0/16 -j ACCEPT",), first=True),
    "cilium": Rules(
        {"CILIUM_POST_nat": ("-s 10.244.0.0/16 ! -d 10.0.0.0/8 -j MASQUERADE", "-j MASQUERADE")},
        ('-m comment --comment "cilium-feeder: CILIUM_POST_nat" -j CILIUM_POST_nat',),
        first=True,
    ),
}
"""Rules that would end or masquerade translated packets if they preceded nplconf's jump."""
