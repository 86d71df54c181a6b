"""Plans for tests: the one in the documentation, and hypothesis strategies for any plan."""

from hypothesis import strategies as st

from nplconf.model import FAMILIES, PROTOCOLS, Family, Plan, PodRef, PortMapping, PortRange, Skipped

REASONS = (
    "named-port-unresolved",
    "protocol-unsupported",
    "host-network",
    "pod-ip-missing",
    "pod-ip-invalid",
    "pod-ip-shared",
    "node-ip-missing",
    "range-full",
    "namespace-share",
    "terminating",
    "and-more",
    "policy",
    "pin-taken",
    "name-invalid",
    "service-type",
)
NODE_IPS: dict[Family, str] = {"IPv4": "10.10.10.10", "IPv6": "fd12::10"}
PORTS = PortRange(61000, 62000)


def mapping(**facts: object) -> PortMapping:
    """A mapping of the Pod shop/web-0, with some facts changed."""
    given: dict[str, object] = {
        "node_port": 61044,
        "protocol": "tcp",
        "family": "IPv4",
        "node_ip": "10.10.10.10",
        "pod": PodRef("shop", "web-0", "0b7d3a52-6c1f-4c0e-9a55-1f0e5d7c2b11"),
        "pod_ip": "10.244.3.17",
        "pod_port": 8080,
        "services": ("shop/web",),
    }
    return PortMapping(**(given | facts))  # type: ignore[arg-type]


def plan(*mappings: PortMapping, **facts: object) -> Plan:
    """A plan of the node worker-1."""
    given: dict[str, object] = {
        "node": "worker-1",
        "cluster": "5f1c7a90-0f3e-4f0b-8a67-7f3d2b6f9d01",
        "node_ips": NODE_IPS,
        "port_range": PORTS,
        "mappings": mappings,
    }
    return Plan(**(given | facts))  # type: ignore[arg-type]


def rows(count: int) -> tuple[PortMapping, ...]:
    """Many mappings, three of each Pod."""
    return tuple(
        mapping(
            node_port=1024 + index,
            pod=PodRef(f"team-{index // 3 % 50}", f"web-{index // 3}", f"0b7d3a52-6c1f-4c0e-9a55-{index // 3:012x}"),
            pod_ip=f"10.{index // 3 // 62500}.{index // 3 // 250 % 250}.{index // 3 % 250 + 1}",
            pod_port=8000 + index % 3,
            services=(f"team-{index // 3 % 50}/web",),
        )
        for index in range(count)
    )


# --- everything a valid plan can be ----------------------------------------------------------------------------------

hostile = st.text(max_size=40)
"""Any text that a file can hold: hypothesis draws no lone surrogates by itself."""
labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=3).map(".".join)
uids = st.one_of(st.uuids().map(str), st.from_regex(r"[A-Za-z0-9._:-]{0,12}", fullmatch=True))
ports = st.integers(1, 65535)
skipped = st.builds(
    Skipped,
    pod=st.none() | hostile,
    pod_port=st.integers(-(10**9), 10**9) | hostile,
    protocol=hostile,
    service=hostile,
    reason=st.sampled_from(REASONS),
    message=hostile,
    rule=st.none() | hostile,
    more=st.integers(0, 10**9),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A plan without a problem."""
    keys = draw(st.lists(st.tuples(labels, names), unique=True, max_size=4))
    pods = [PodRef(namespace, name, draw(uids)) for namespace, name in keys]
    owners = [(at, port) for at in range(len(pods)) for port in draw(st.sets(ports, max_size=3))]
    numbers = draw(
        st.lists(st.integers(PORTS.first, PORTS.last), unique=True, min_size=len(owners), max_size=len(owners))
    )
    mappings = [
        draw(_mappings(pods[at], at, port, number, family, protocol))
        for (at, port), number in zip(owners, numbers, strict=True)
        for family, protocol in draw(
            st.sets(st.tuples(st.sampled_from(FAMILIES), st.sampled_from(PROTOCOLS)), min_size=1)
        )
    ]
    return plan(
        *sorted(mappings, key=lambda one: one.key),
        node=draw(names),
        cluster=draw(st.none() | st.uuids().map(str)),
        skipped=tuple(draw(st.lists(skipped, max_size=3))),
    )


@st.composite
def _mappings(
    draw: st.DrawFn, pod: PodRef, at: int, port: int, number: int, family: Family, protocol: str
) -> PortMapping:
    networks = st.sampled_from(["10.0.0.0/8", "192.0.2.7/32"] if family == "IPv4" else ["fd00::/8", "::/0"])
    return mapping(
        node_port=number,
        protocol=protocol,
        family=family,
        node_ip=NODE_IPS[family],
        pod=pod,
        pod_ip=f"10.244.3.{at + 1}" if family == "IPv4" else f"fd12:0:0:1::{at + 1}",
        pod_port=port,
        services=tuple(sorted(draw(st.sets(st.tuples(labels, labels).map("/".join), max_size=3)))),
        source_ranges=tuple(draw(st.lists(networks, unique=True, max_size=2))),
    )


def any_plan() -> st.SearchStrategy[Plan]:
    """A plan of any strings and numbers, as no validation would let it pass."""
    numbers = st.integers(-(10**17), 10**17)
    mappings = st.builds(
        PortMapping,
        node_port=numbers,
        protocol=st.sampled_from(PROTOCOLS),
        family=st.sampled_from(FAMILIES),
        node_ip=hostile,
        pod=st.builds(PodRef, hostile, hostile, hostile),
        pod_ip=hostile,
        pod_port=numbers,
        services=st.lists(hostile, max_size=3).map(tuple),
        via=st.sampled_from(["dnat", "hostPort"]),
        source_ranges=st.lists(hostile, max_size=2).map(tuple),
    )
    return st.builds(
        Plan,
        node=hostile,
        cluster=st.none() | hostile,
        node_ips=st.dictionaries(st.sampled_from(FAMILIES), hostile),
        port_range=st.builds(PortRange, numbers, numbers),
        mappings=st.lists(mappings, max_size=3).map(tuple),
        skipped=st.lists(skipped, max_size=3).map(tuple),
    )
