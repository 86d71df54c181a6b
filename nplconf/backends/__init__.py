"""The backends of each Service port, as a load balancer outside the cluster needs them. Pure.

    model      the values: a backend, the backends of one Service port, a lint
    collect    a cluster state to these values
    published  what a Pod's annotation publishes for a Service port
    lint       what a load balancer that reads the annotations itself would get wrong
    data       the values as the JSON document, which templates get, too
    formats    the document as the configuration of HAProxy, nginx, Envoy and Prometheus
    template   the document as a template of the user's own writes it

A backend here is a server behind a load balancer; the backends that write rules on a node are in `rules` and `node`.
"""
