"""The input of every step of a decision."""

from dataclasses import dataclass, field

from nplconf.cache import Cache
from nplconf.model import Pod, PortMapping
from nplconf.run.decision_options import Options
from nplconf.run.observed import Observed


@dataclass(frozen=True, slots=True)
class Inputs:
    """The node and the cluster as one run sees them.

    Attributes:
        observed: The node as it was read.
        options: The options of the run.
        live: The mappings that are in force.
        pods: This node's Pods; none where no cluster was read.
        writable: Annotations are written, and not only reported.
        cache: Results of earlier runs.

    """

    observed: Observed
    options: Options
    live: tuple[PortMapping, ...]
    pods: tuple[Pod, ...] = ()
    writable: bool = True
    cache: Cache = field(default_factory=Cache, compare=False)
