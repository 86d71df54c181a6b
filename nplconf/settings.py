"""The table of options: each field of `Settings` is one option, and this is the only place that defines it.

A field has its name, type and default as in any dataclass; `option.described` adds the kind of its value, its group in
help texts, the commands that use it, and its description. From this table come the argument parser and the environment
variables (`cli.options`), the config file's loader (`config`), schemas/config.schema.json, and the table of
nplconf/cli/README.md. Tests compare examples/config.yaml with it.

To add an option: add a field here, describe it in examples/config.yaml, run
`pytest tests/test_settings.py --update-golden` (it writes the schema and the page), then use the field.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from nplconf.model import FAMILIES, PROTOCOLS, USUAL_PROTOCOLS, Backend, Family, PortRange, Protocol
from nplconf.option import Option, described, row
from nplconf.publish.annotation import Form
from nplconf.publish.life import Terms
from nplconf.values import (
    ADDRESS,
    COMMAND,
    DIRECTORY,
    FILE,
    FILES,
    NAME,
    NODE_IPS,
    PERCENT,
    PERIOD,
    PORTS,
    SECONDS,
    SOCKET,
    SWITCH,
    choice,
)

CONFIG = "/etc/nplconf/config.yaml"
"""The config file that may be missing."""
DEFAULT_STATE = "/var/lib/nplconf"
DEFAULT_RANGE = PortRange(61000, 62000)

BACKEND = choice(
    "auto", "iptables-nft", "iptables-legacy", "nftables", aliases={"nft": "iptables-nft", "legacy": "iptables-legacy"}
)
"""The values of `backend`: a further backend is a word here and in `model.Backend`."""

# --- the commands that use an option --------------------------------------------------------------------------------

APPLY = ("apply", "watch", "adopt")
DECIDE = ("plan", *APPLY, "verify", "explain", "report")
"""They decide what a run changes, from cluster and node."""
LEAVE = ("cleanup", "uninstall-units")
NODE = (*DECIDE, "show", "diff", "doctor", *LEAVE)
"""They read or change the node."""
CLUSTER = ("render", *DECIDE, "doctor", *LEAVE)
"""They read the cluster."""
UNITS = ("install-units",)
FOLLOWED = ("backends",)
"""They read the Services and Pods of the whole cluster."""
PRINT = ("render", "validate", *NODE, *UNITS)
"""They print a result."""
CONFIGURED = (*PRINT, *FOLLOWED, "hold")
"""They read the configuration: every command but `schema`, `example` and `demo`."""


_CLUSTER, _PLAN, _PUBLISH, _NODE, _LIMITS, _OUTPUT = (
    "cluster", "plan and policy", "publishing", "node", "limit", "output",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of all options for one run."""

    # cluster
    node: str = field(
        metadata=described(
            NAME, _CLUSTER, (*CLUSTER, *NODE, *UNITS), "Name of this node's Node object.",
            default="$NODE_NAME, then the host name",
        )
    )  # fmt: skip
    config: str = field(
        default=CONFIG,
        metadata=described(FILE, _CLUSTER, CONFIGURED, "Config file.", only="command line"),
    )
    cluster_state: tuple[str, ...] = field(
        default=(),
        metadata=described(
            FILES, _CLUSTER, (*CLUSTER, *FOLLOWED, *UNITS),
            "Read the cluster from these files (kubectl get nodes,pods,services -A -o yaml), not from the API server. "
            "The flag takes one file and can be repeated; - is stdin.",
        ),
    )  # fmt: skip
    write_back: str | None = field(
        default=None,
        metadata=described(
            FILE, _CLUSTER, (*APPLY, "doctor", *LEAVE, *UNITS),
            "With a cluster state file: write the Pods with their new annotations to this file.",
        ),
    )  # fmt: skip
    kubeconfig: str | None = field(
        default=None,
        metadata=described(
            FILE, _CLUSTER, (*CLUSTER, *FOLLOWED, *UNITS), "Credentials for the API server.",
            default="$KUBECONFIG, then in-cluster, then the kubelet's",
        ),
    )  # fmt: skip
    no_cluster: bool = field(
        default=False,
        metadata=described(
            SWITCH, _CLUSTER, (*DECIDE, *LEAVE),
            "Work without a cluster: take addresses from the PLAN and annotate no Pod.",
        ),
    )  # fmt: skip
    no_events: bool = field(
        default=False, metadata=described(SWITCH, _CLUSTER, (*APPLY, "doctor"), "Create no Kubernetes Events.")
    )
    # plan and policy
    mode: Literal["auto", "reviewed"] = field(
        default="auto",
        metadata=described(
            choice("auto", "reviewed"), _PLAN, DECIDE,
            "auto: map what Services ask for, within the policy. reviewed: map what the plan in planDir lists.",
            only="file",
        ),
    )  # fmt: skip
    plan_dir: str | None = field(
        default=None,
        metadata=described(
            DIRECTORY, _PLAN, (*DECIDE, "doctor", *UNITS),
            "Use DIR/<node>.yaml as the PLAN. As a flag it implies mode: reviewed.",
        ),
    )  # fmt: skip
    exact: bool = field(
        default=False,
        metadata=described(
            SWITCH, _PLAN, ("plan", *APPLY),
            "With a PLAN: change nothing when the cluster differs from it in anything.",
        ),
    )  # fmt: skip
    policy: str | None = field(
        default=None,
        metadata=described(
            FILE, _PLAN, ("render", "validate", *DECIDE, "doctor", *UNITS), "Policy file: limits what may be mapped."
        ),
    )
    # publishing
    annotation_entries: Literal["merged", "per-protocol"] = field(
        default="merged",
        metadata=described(
            choice("merged", "per-protocol"), _PUBLISH, DECIDE,
            "merged: TCP and UDP of one Pod port are one entry of the annotation. per-protocol: two, as Antrea writes.",
        ),
    )  # fmt: skip
    publish_families: Literal["IPv4,IPv6", "IPv4", "IPv6"] = field(
        default="IPv4,IPv6",
        metadata=described(
            choice("IPv4,IPv6", "IPv4", "IPv6", aliases={"IPv6,IPv4": "IPv4,IPv6"}), _PUBLISH, DECIDE,
            "IP families that the annotation lists. Mappings of the other family are still programmed.",
        ),
    )  # fmt: skip
    publish_when: Literal["running", "containers-ready"] = field(
        default="running",
        metadata=described(
            choice("running", "containers-ready"), _PUBLISH, DECIDE,
            "When a Pod is published: as soon as it has an address, or the first time its containers are ready.",
        ),
    )  # fmt: skip
    withdraw_when: Literal["terminating", "gone"] = field(
        default="terminating",
        metadata=described(
            choice("terminating", "gone"), _PUBLISH, DECIDE,
            "When the annotation of a deleted Pod is withdrawn: at once, or when it has ended. "
            "Its rules stay until then.",
        ),
    )  # fmt: skip
    linger: int = field(
        default=0,
        metadata=described(
            SECONDS, _PUBLISH, DECIDE,
            "How long the rule of a mapping stays that was withdrawn while its Pod lives.",
        ),
    )  # fmt: skip
    withdraw_as: Literal["empty", "remove"] = field(
        default="empty",
        metadata=described(
            choice("empty", "remove"), _PUBLISH, (*DECIDE, *LEAVE),
            "What becomes of an annotation when nothing is mapped any more. empty: []. remove: the key is removed, "
            "which AKO does not see.",
        ),
    )  # fmt: skip
    # node
    port_range: PortRange = field(
        default=DEFAULT_RANGE,
        metadata=described(
            PORTS, _NODE, ("render", "validate", *NODE, *UNITS, "hold"),
            "Node ports that mappings may use, both ends included.",
        ),
    )  # fmt: skip
    node_ips: Mapping[Family, str] = field(
        default_factory=dict,
        hash=False,
        metadata=described(
            NODE_IPS, _NODE, ("render", *DECIDE),
            "What to advertise per IP family: an address, or types of the Node's addresses and networks by preference.",
            only="file",
        ),
    )  # fmt: skip
    backend: Literal["auto"] | Backend = field(
        default="auto",
        metadata=described(
            BACKEND, _NODE, (*NODE, "demo"),
            "What writes the rules. auto detects it by kubelet and kube-proxy; nft and legacy mean the iptables ones.",
        ),
    )  # fmt: skip
    sctp: bool = field(
        default=False,
        metadata=described(
            SWITCH, _NODE, ("render", *DECIDE, "doctor", *FOLLOWED, "hold"),
            "Map SCTP ports, too, and hold the range for SCTP. Load balancers such as AKO and F5 ignore the protocol.",
        ),
    )  # fmt: skip
    hold_socket: str = field(
        default="/run/nplconf/hold.sock",
        metadata=described(SOCKET, _NODE, (*NODE, *UNITS, "hold"), "Socket of the hold daemon."),
    )
    no_hold: bool = field(
        default=False,
        metadata=described(
            SWITCH, _NODE, (*NODE,),
            "Work without the hold daemon. A port that cannot be bound at this moment is treated as in use.",
        ),
    )  # fmt: skip
    state_dir: str = field(
        default=DEFAULT_STATE,
        metadata=described(DIRECTORY, _NODE, (*NODE, *UNITS), "Directory of the state file and the lock."),
    )
    textfile: str | None = field(
        default=None,
        metadata=described(
            FILE, _NODE, (*APPLY, "doctor", "uninstall-units", *UNITS),
            "Write metrics to this file, for the node exporter's textfile collector.",
        ),
    )  # fmt: skip
    resync: int = field(
        default=30,
        metadata=described(
            PERIOD, _NODE, ("watch", *FOLLOWED),
            "How often watch reads the whole node, and backends its file, without any event.",
        ),
    )  # fmt: skip
    listen: str | None = field(
        default=None,
        metadata=described(ADDRESS, _NODE, ("watch",), "Serve /metrics, /healthz and /readyz at ADDRESS:PORT."),
    )
    force: bool = field(
        default=False,
        metadata=described(
            SWITCH, _NODE, (*APPLY, "plan", "hold", "install-units"),
            "Go on although the node's datapath bypasses netfilter, or an Antrea agent works here.",
        ),
    )  # fmt: skip
    # limits
    max_delete: int = field(
        default=50,
        metadata=described(
            PERCENT, _LIMITS, DECIDE, "Block a run that would remove more than this share of the live mappings."
        ),
    )
    allow_empty: bool = field(
        default=False,
        metadata=described(
            SWITCH, _LIMITS, DECIDE,
            "Accept an empty Pod list for this node (otherwise a second run must confirm it).",
        ),
    )  # fmt: skip
    cool_down: int = field(
        default=1800,
        metadata=described(
            SECONDS, _LIMITS, DECIDE, "How long a released port stays reserved before another Pod can get it."
        ),
    )
    namespace_share: int = field(
        default=50,
        metadata=described(
            PERCENT, _LIMITS, ("render", *DECIDE),
            "A namespace that has more than this percentage of the port range gets no new port.",
        ),
    )  # fmt: skip
    # output
    output: Literal["table", "json", "yaml", "markdown"] = field(
        default="table",
        metadata=described(
            choice("table", "json", "yaml", "markdown"), _OUTPUT, PRINT, "Format of the result on stdout.", short="-o"
        ),
    )
    color: Literal["auto", "always", "never"] = field(
        default="auto",
        metadata=described(
            choice("auto", "always", "never"), _OUTPUT, (*PRINT, "example", "demo"),
            "Whether to colour the table; auto: on a terminal.",
        ),
    )  # fmt: skip
    on_change: tuple[str, ...] = field(
        default=(),
        metadata=described(
            COMMAND, _OUTPUT, FOLLOWED,
            "With --out: run this program, without a shell, after the file has changed. "
            "The flag takes a JSON list, or words that are split at spaces as a shell does.",
        ),
    )  # fmt: skip
    quiet: bool = field(
        default=False,
        metadata=described(SWITCH, _OUTPUT, PRINT, "Print only what changed and what failed.", short="-q"),
    )
    verbose: bool = field(
        default=False,
        metadata=described(SWITCH, _OUTPUT, CONFIGURED, "Log each step; after an unexpected error, where.", short="-v"),
    )
    log_format: Literal["text", "json"] = field(
        default="text",
        metadata=described(choice("text", "json"), _OUTPUT, CONFIGURED, "Format of messages on stderr."),
    )
    # no option
    node_origin: str = ""
    """Where the node's name comes from when no option says it: "the host name" or "$NODE_NAME"."""

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """The protocols that are mapped."""
        return PROTOCOLS if self.sctp else USUAL_PROTOCOLS

    @property
    def terms(self) -> Terms:
        """When mappings are published and withdrawn."""
        return Terms(self.withdraw_when, self.publish_when, self.linger)

    @property
    def form(self) -> Form:
        """How annotations are written."""
        families = tuple(family for family in FAMILIES if family in self.publish_families)
        return Form(self.annotation_entries == "merged", self.withdraw_as == "empty", families)


@functools.cache
def options() -> tuple[Option, ...]:
    """Return the table: one row per field of `Settings` that is an option, in their order."""
    return tuple(row(one) for one in fields(Settings) if one.metadata)
