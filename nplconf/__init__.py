"""NodePortLocal for any Kubernetes node: a declarative configurator.

Read two worlds (the cluster, the node), decide once in pure code, write through narrow seams, then read again: what was
seen in place is published, what was not is a failure by name. `nplconf.run.reconcile` is the composition of it all.
"""

__version__ = "0.1.0"
