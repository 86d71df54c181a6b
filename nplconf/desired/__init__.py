"""The mappings that the cluster requests on one node, and their node ports: pure functions of what was read."""

from nplconf.desired.addresses import matched_addresses, node_ips
from nplconf.desired.node_name import find_node
from nplconf.desired.render import Desired, Renderer, each_node, render

__all__ = ["Desired", "Renderer", "each_node", "find_node", "matched_addresses", "node_ips", "render"]
