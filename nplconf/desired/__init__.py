"""What the cluster asks for on one node, and with which numbers: pure functions of what was read."""

from nplconf.desired.addresses import matched_addresses, node_ips
from nplconf.desired.render import Desired, Renderer, each_node, find_node, render

__all__ = ["Desired", "Renderer", "each_node", "find_node", "matched_addresses", "node_ips", "render"]
