"""Foreign rules on a node, in all tables and both families. nplconf must never change one."""

from netns import World

from nplconf.model import Family

LOCAL: dict[Family, str] = {"IPv4": "127.0.0.0/8", "IPv6": "::1/128"}
PODS: dict[Family, str] = {"IPv4": "10.244.0.0/16", "IPv6": "fd00:244::/56"}
SERVICES: dict[Family, tuple[str, str]] = {
    "IPv4": ("10.96.0.10/32", "10.244.1.2:53"),
    "IPv6": ("fd00:96::10/128", "[fd00:244::2]:53"),
}
CONTAINERS: dict[Family, tuple[str, str]] = {
    "IPv4": ("172.17.0.0/16", "172.17.0.2:80"),
    "IPv6": ("fd00:172::/64", "[fd00:172::2]:80"),
}
DNS = "KUBE-SVC-TCOU7JCQXEZGVUNU"
MULTICAST: dict[Family, str] = {"IPv4": "224.0.0.0/4", "IPv6": "ff00::/8"}


def nat(family: Family) -> str:
    """kube-proxy, Docker, a CNI, firewalld, and an administrator whose comments mention nplconf."""
    service, endpoint = SERVICES[family]
    network, container = CONTAINERS[family]
    return f"""*nat
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
:{DNS} - [0:0]
:KUBE-SEP-N4G2XR5TDX7PQE7P - [0:0]
:DOCKER - [0:0]
:CNI-5f2a - [0:0]
:POST_public - [0:0]
:POST_public_allow - [0:0]
:NPLCONFIG-OTHER - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT ! -d {LOCAL[family]} -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A POSTROUTING -s {network} ! -o docker0 -j MASQUERADE
-A POSTROUTING -s {PODS[family]} -m comment --comment "name: \\"cbr0\\" id: \\"5f2a\\"" -j CNI-5f2a
-A POSTROUTING -j POST_public
-A POSTROUTING -m comment --comment "do not -j NPLCONF-POST here" -j RETURN
-A INPUT -m comment --comment "nplconf:shop/web-0:8080:uid" -j ACCEPT
-A KUBE-SERVICES -d {service} -p udp -m comment --comment "kube-dns cluster IP" -m udp --dport 53 -j {DNS}
-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -p tcp -m tcp --dport 31000 -j {DNS}
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A {DNS} -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-N4G2XR5TDX7PQE7P
-A KUBE-SEP-N4G2XR5TDX7PQE7P -p udp -m udp -j DNAT --to-destination {endpoint}
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination {container}
-A CNI-5f2a -d {PODS[family]} -j ACCEPT
-A CNI-5f2a ! -d {MULTICAST[family]} -j MASQUERADE
-A POST_public -j POST_public_allow
-A POST_public_allow ! -o lo -j MASQUERADE
-A NPLCONFIG-OTHER -j RETURN
COMMIT
"""


REST = """*filter
:INPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:DOCKER-USER - [0:0]
-A INPUT -j KUBE-FIREWALL
-A FORWARD -j DOCKER-USER
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-FIREWALL -m comment --comment "block incoming localnet connections" -m mark --mark 0x8000/0x8000 -j DROP
-A DOCKER-USER -j RETURN
COMMIT
*mangle
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-IPTABLES-HINT - [0:0]
-A PREROUTING -p tcp -m tcp --dport 179 -j MARK --set-xmark 0x1/0xffffffff
COMMIT
*raw
-A PREROUTING -p udp -m udp --dport 4789 -j CT --notrack
COMMIT
"""
NATIVE = """
add table inet firewalld
add chain inet firewalld filter_INPUT { type filter hook input priority filter + 10; }
add rule inet firewalld filter_INPUT tcp dport { 22, 80-90 } accept comment "NPLCONF"
add table ip kube-proxy
add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
"""
TABLES = ("nat", "filter", "mangle", "raw")


def settle_in(node: World) -> None:
    """Have them all on a node."""
    for family in ("IPv4", "IPv6"):
        node.restore(nat(family), family)
        node.restore(REST, family)
    assert node.run("nft", "-f", "-", text=NATIVE).returncode == 0


def picture(node: World) -> dict[str, list[str]]:
    """Return every foreign line, in its order: all tables of both families, and native nftables."""
    found = {
        f"{family} {table}": [line for line in node.rules(family, table) if not ours(line)]
        for family in ("IPv4", "IPv6")
        for table in TABLES
    }
    native = ("inet firewalld", "ip kube-proxy")
    return found | {table: node.run("nft", "list", "table", *table.split()).stdout.splitlines() for table in native}


JUMPS = ("PREROUTING -j NPLCONF", "OUTPUT -j NPLCONF", "POSTROUTING -m conntrack --ctstate DNAT -j NPLCONF-POST")


def ours(line: str) -> bool:
    """Return whether a line of a dump is nplconf's: in its chains, or one of its three jumps."""
    own = (":NPLCONF-", ":NPLCONF ", "-A NPLCONF-", "-A NPLCONF ")
    return line.startswith(own) or line[3:] in JUMPS
