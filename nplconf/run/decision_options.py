"""The options that a decision depends on. `settings.Settings` has them, and others for files and output."""

from collections.abc import Mapping
from typing import Protocol

from nplconf import model
from nplconf.model import Family, PortRange
from nplconf.publish.annotation import Form
from nplconf.publish.life import Terms


class Options(Protocol):
    """The part of the settings that `decide` reads."""

    @property
    def node(self) -> str:
        """Name of this node's Node object."""

    @property
    def node_origin(self) -> str:
        """Where that name comes from when no option says it; for a message."""

    @property
    def config(self) -> str:
        """The config file; for a message."""

    @property
    def hold_socket(self) -> str:
        """Socket of the hold daemon; for a message."""

    @property
    def port_range(self) -> PortRange:
        """Node ports that mappings may use."""

    @property
    def node_ips(self) -> Mapping[Family, str]:
        """What to advertise instead of the Node object's addresses."""

    @property
    def namespace_share(self) -> int:
        """Percent of the port range that one namespace may have."""

    @property
    def protocols(self) -> tuple[model.Protocol, ...]:
        """The protocols that are mapped."""

    @property
    def cool_down(self) -> int:
        """Seconds for which a released port stays reserved."""

    @property
    def max_delete(self) -> int:
        """Percent of the live mappings that one run may remove in doubt."""

    @property
    def allow_empty(self) -> bool:
        """Whether an empty Pod list is accepted."""

    @property
    def force(self) -> bool:
        """Whether a run goes on beside an Antrea agent."""

    @property
    def terms(self) -> Terms:
        """When mappings are published and withdrawn."""

    @property
    def form(self) -> Form:
        """How annotations are written."""
