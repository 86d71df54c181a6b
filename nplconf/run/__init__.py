"""One run: read the cluster and the node, decide, write, read again, publish.

`reconcile` is the only composition of reads, pure code and writes. `decision`, `observed`, `reasons` and `outcome` are
pure. To add a step to a run, add it to `reconcile.act` and its failures to `Result`.
"""
