"""Watch mode: the job of `apply` as a service that runs when an event makes it necessary.

    hub       what the threads share: the mirror, its trustworthiness, the causes of the next run
    source    one thread per resource: list, then watch; events go into the mirror
    mirror    the cluster as the events describe it, as far as it is followed: pure, equal to a fresh list
    pace      when to run, how long to wait after a failure: pure
    cluster   the mirror behind the interface `Cluster`; patches and Events go to the API server
    node      the node behind the interface `NodeAccess`, with what may be kept in memory between two full readings
    drift     the kernel's notifications of changed rules
    loop      waits, runs, reports; decides nothing
    memory    what the C library does with freed memory
    files     whether a file that a run depends on was edited; the last good value that was made from it
    metrics   what is counted between runs
    server    /metrics, /healthz, /readyz

Events only say when to run. A run is `apply` on a snapshot that equals a fresh list, so nothing is decided twice. The
run itself is `cli.job.WatchJob`, as it is `apply`'s. `run` and everything below it know nothing of this package.

What is kept in memory between runs, why it may be, and what corrects it when it is wrong:

    mirror          events since a list, without a gap, give what a new list would; after a gap a new list replaces it
    node.Known      each fact has its reason there; each resync reads all of them again, and so does a run after drift,
                    after a run that failed, and after a run of another process
    files.LastGood  configuration, plan and policy: made again when the inode, time or size of a file changes
    cache.Cache     results of pure functions: a result is used for equal arguments only, so none can be wrong

The state file is no memory: it is written before a rule or an annotation changes.
"""
