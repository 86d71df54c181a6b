"""The responses of /metrics, /healthz and /readyz."""

import socket
import time
import urllib.error
import urllib.request
from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families
from worlds import NODE

from nplconf.errors import UnavailableError
from nplconf.watch import metrics as metrics_module
from nplconf.watch.hub import Hub
from nplconf.watch.metrics import Metrics
from nplconf.watch.mirror import Mirror
from nplconf.watch.server import serve

OF_RUN = "# HELP nplconf_runs_total Runs by result.\n# TYPE nplconf_runs_total counter\nnplconf_runs_total 3.0\n"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Hub(Mirror.of_node(NODE)))


def samples(text: str) -> dict[tuple[str, str], float]:
    """(name, label value) -> value."""
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, "".join(sample.labels.values())): sample.value for sample in found}


def test_the_metrics_of_the_contract_are_there_from_the_start(metrics: Metrics) -> None:
    found = samples(metrics.text())
    assert {kind for name, kind in found if name == "nplconf_events_total"} == {
        "services", "nodes", "pods", "drift", "files",
    }  # fmt: skip
    assert {kind for name, kind in found if name == "nplconf_watch_restarts_total"} == {"services", "nodes", "pods"}
    assert ("nplconf_publish_seconds_count", "") in found
    assert ("nplconf_full_read_age_seconds", "") in found
    assert not [name for name, _ in found if name.endswith("_created")]


def test_events_and_lists_are_counted_once_for_any_number_of_scrapes(metrics: Metrics) -> None:
    metrics._hub.drifted()
    for _ in range(3):
        found = samples(metrics.text())
    assert found["nplconf_events_total", "drift"] == 1
    metrics._hub.drifted()
    assert samples(metrics.text())["nplconf_events_total", "drift"] == 2


def test_a_run_leaves_its_metrics_its_namespaces_and_its_time(metrics: Metrics) -> None:
    metrics.take(lambda: OF_RUN)
    metrics.finished(Counter(shop=2, web=1), good=True)
    metrics.finished(Counter(shop=3), good=True)
    metrics.published(time.monotonic() - 0.02)
    text = metrics.text()
    found = samples(text)
    assert found["nplconf_namespace_ports_used", "shop"] == 3
    assert ("nplconf_namespace_ports_used", "web") not in found
    assert found["nplconf_runs_total", ""] == 3
    assert found["nplconf_publish_seconds_bucket", "0.01"] == 0
    assert found["nplconf_publish_seconds_bucket", "0.05"] == 1
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)), "no metric is there twice"


def test_readyz_waits_for_a_good_run_and_healthz_for_a_sign_of_life(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve("127.0.0.1:0", metrics)
    address = f"http://127.0.0.1:{server.server_port}"

    def status(path: str) -> int:
        try:
            with urllib.request.urlopen(address + path) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as err:
            return err.code

    assert (status("/healthz"), status("/readyz"), status("/metrics"), status("/")) == (200, 503, 200, 404)
    metrics.finished(Counter(), good=False)
    assert status("/readyz") == 503
    metrics.finished(Counter(), good=True)
    metrics.finished(Counter(), good=False)
    assert status("/readyz") == 200, "it is about the start"
    monkeypatch.setattr(metrics_module, "LATE_SECONDS", -10.0)
    assert status("/healthz") == 503
    metrics.alive_now()
    monkeypatch.setattr(metrics_module, "LATE_SECONDS", 60.0)
    assert status("/healthz") == 200
    server.shutdown()
    server.server_close()


def test_an_address_that_is_in_use_is_an_error_by_name(metrics: Metrics) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UnavailableError, match="--listen"):
            serve(address, metrics)


def test_it_listens_on_ipv6_too(metrics: Metrics) -> None:
    server = serve("[::1]:0", metrics)
    with urllib.request.urlopen(f"http://[::1]:{server.server_port}/healthz") as answer:
        assert answer.status == 200
    server.shutdown()
    server.server_close()
