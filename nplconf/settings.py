"""How one run is to go: every option of the command line, the environment and the config file, resolved."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nplconf.model import Family, PortRange

CONFIG = "/etc/nplconf/config.yaml"
"""The config file that may be missing."""
DEFAULT_STATE = "/var/lib/nplconf"
DEFAULT_RANGE = PortRange(61000, 62000)


@dataclass(frozen=True, slots=True)
class Settings:
    """One field per long option (see `cli.options`), plus what only the config file can say (node_ips, mode)."""

    node: str
    config: str = CONFIG
    cluster_state: tuple[str, ...] = ()
    write_back: str | None = None
    kubeconfig: str | None = None
    no_cluster: bool = False
    port_range: PortRange = DEFAULT_RANGE
    node_ips: Mapping[Family, str] = field(default_factory=dict, hash=False)
    state_dir: str = DEFAULT_STATE
    hold_socket: str = "/run/nplconf/hold.sock"
    no_hold: bool = False
    backend: Literal["auto", "nft", "legacy"] = "auto"
    max_delete: int = 50
    allow_empty: bool = False
    cool_down: int = 1800
    policy: str | None = None
    textfile: str | None = None
    exact: bool = False
    no_events: bool = False
    force: bool = False
    mode: Literal["auto", "reviewed"] = "auto"
    plan_dir: str | None = None
    output: Literal["table", "json", "yaml", "markdown"] = "table"
    color: Literal["auto", "always", "never"] = "auto"
    quiet: bool = False
    verbose: bool = False
    log_format: Literal["text", "json"] = "text"
