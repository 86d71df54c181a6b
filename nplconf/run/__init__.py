"""One run: read the cluster and the node, decide, write, read again, publish.

`reconcile` has the runs. `decide` is pure: it makes a `Decision` in steps, one module each (`target`, `eligible`,
`findings`, `repairs`, `withdrawals`, `next_state`). `act` carries it out (`write_rules`, `annotate`), and `outcome`
judges the result.

To add a step to a decision, write its module and call it in `decide`. To add a step to a run, add it to `act.act` and
its failures to `act._Effects`.
"""
