"""Real load balancers in a network namespace, which read what `nplconf backends --follow` writes.

They retry nothing: a request that meets a server which refuses is lost, and is counted.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from loadbalancers.site import ROOT, Site

POOL = "{namespace}_web_80"
HAPROXY = """
global
    maxconn 1000
defaults
    mode http
    retries 0
    timeout connect 1s
    timeout client 10s
    timeout server 3s
frontend f
    bind 127.0.0.1:{port}
    http-after-response set-header X-Server "%[srv_name]:" if {{ srv_name -m found }}
    default_backend {pool}
"""
NGINX = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log;
events {{ worker_connections 1000; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/nginx-backends.conf;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://{pool};
            proxy_connect_timeout 1s;
            proxy_read_timeout 3s;
            proxy_next_upstream off;
            add_header X-Server $upstream_addr always;
        }}
    }}
}}
"""


@dataclass(slots=True)
class Balancer:
    """One load balancer and what feeds it."""

    name: str
    port: int
    process: "subprocess.Popen[bytes]"
    reader: "subprocess.Popen[bytes]"
    listed: Path

    def members(self) -> int:
        """Count the servers that the list has now."""
        return sum(
            line.lstrip().startswith("server ") and " down" not in line for line in self.listed.read_text().splitlines()
        )

    def stop(self) -> None:
        for process in (self.reader, self.process):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()


@contextlib.contextmanager
def running(site: Site) -> Iterator[list[Balancer]]:
    """HAProxy and nginx in the client's namespace, ready to answer."""
    pool = POOL.format(namespace=site.area.namespace)
    found = []
    try:
        found.append(_haproxy(site, pool))
        found.append(_nginx(site, pool))
        time.sleep(0.5)
        yield found
    finally:
        for balancer in found:
            balancer.stop()


def _haproxy(site: Site, pool: str) -> Balancer:
    config, listed = site.directory / "haproxy.cfg", site.directory / "haproxy-backends.cfg"
    config.write_text(HAPROXY.format(port=18080, pool=pool))
    _once(site, "haproxy", listed)
    argv = ["haproxy", "-W", "-db", "-f", str(config), "-f", str(listed)]
    process = site.start(site.client, *argv, log="haproxy.log")
    return Balancer(
        "HAProxy", 18080, process, follow(site, "haproxy", listed, ["kill", "-USR2", str(process.pid)]), listed
    )


def _nginx(site: Site, pool: str) -> Balancer:
    config, listed = site.directory / "nginx.conf", site.directory / "nginx-backends.conf"
    config.write_text(NGINX.format(port=18081, pool=pool, directory=site.directory))
    _once(site, "nginx", listed)
    process = site.start(site.client, "nginx", "-c", str(config), "-p", str(site.directory), log="nginx.log")
    reader = follow(site, "nginx", listed, ["kill", "-HUP", str(process.pid)])
    return Balancer("nginx", 18081, process, reader, listed)


def _once(site: Site, form: str, out: Path) -> None:
    subprocess.run(_argv(site, form, out), check=True, env=site.environment(), capture_output=True)


def _argv(site: Site, form: str, out: Path) -> list[str]:
    service = f"{site.area.namespace}/web:80"
    own = ["--kubeconfig", str(site.reader), "--format", form, "--out", str(out)]
    return [sys.executable, "-m", "nplconf", "backends", service, *own]


def follow(site: Site, form: str, out: Path, reload: list[str]) -> "subprocess.Popen[bytes]":
    """`nplconf backends --follow`."""
    argv = [*_argv(site, form, out), "--follow", "--on-change", json.dumps(reload)]
    with (site.directory / f"{form}-reader.log").open("ab") as log:
        return subprocess.Popen(argv, env=site.environment(), stdout=log, stderr=log, cwd=ROOT)
