"""NodePortLocal for any Kubernetes node: a declarative configurator.

A run reads the cluster and the node, decides in pure code, writes, and reads again. It publishes the mappings that it
finds in the kernel, and reports each other one as a failure. `nplconf.run.reconcile` composes these steps.
"""

__version__ = "0.1.0"
