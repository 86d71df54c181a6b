"""Antrea's NodePortLocal on a node: rules and annotations as its versions write them, and an agent process."""

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

CHAIN = "ANTREA-NODE-PORT-LOCAL"
JUMPS = {
    "0.13": (f"-A PREROUTING -p tcp -j {CHAIN}",),
    "1.2": tuple(f"-A {base} -p tcp -m addrtype --dst-type LOCAL -j {CHAIN}" for base in ("PREROUTING", "OUTPUT")),
    "2.7": tuple(f"-A {base} -m addrtype --dst-type LOCAL -j {CHAIN}" for base in ("PREROUTING", "OUTPUT")),
}
"""The jumps of some versions, each that of the versions up to the next one."""


def rule(number: int, address: str, port: int, protocol: str = "tcp") -> str:
    to = f"[{address}]" if ":" in address else address
    return f"-A {CHAIN} -p {protocol} -m {protocol} --dport {number} -j DNAT --to-destination {to}:{port}"


def text(*rules: str, version: str = "2.7") -> str:
    """What the agent feeds `iptables-restore --noflush`."""
    return "\n".join(("*nat", f":{CHAIN} - [0:0]", *JUMPS[version], *rules, "COMMIT", ""))


Row = tuple[int, int, str, str]
"""podPort, nodePort, protocol, family"""


def annotation(version: str, node_ip: str, *rows: Row) -> str:
    """The value as a version writes it."""
    return json.dumps([_entry(version, node_ip, row) for row in rows], separators=(",", ":"))


def _entry(version: str, node_ip: str, row: Row) -> dict[str, Any]:
    pod_port, node_port, protocol, family = row
    entry: dict[str, Any] = {"podPort": pod_port, "nodeIP": node_ip, "nodePort": node_port}
    if version == "1.2":
        return entry | {"protocols": [protocol]}
    if version == "1.7":
        return entry | {"protocol": protocol, "protocols": [protocol]}
    if version == "2.7":
        return entry | {"protocol": protocol, "ipFamily": family}
    return entry


@contextlib.contextmanager
def agent(directory: Path, space: str, config: str = "") -> Iterator[int]:
    """A process with the agent's name in a network namespace, which sees this configuration; its pid."""
    binary = directory / "antrea-agent"
    shutil.copy("/bin/sleep", binary)
    wrapped: Sequence[str] = [str(binary), "60"]
    if config:
        etc = directory / "etc"
        (etc / "antrea").mkdir(parents=True, exist_ok=True)
        (etc / "antrea" / "antrea-agent.conf").write_text(config)
        mount = f"mount -t overlay overlay -o lowerdir={etc}:/etc /etc"
        wrapped = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", *wrapped]
    process = subprocess.Popen(["ip", "netns", "exec", space, *wrapped])
    until = time.monotonic() + 10
    while Path(f"/proc/{process.pid}/comm").read_text() != "antrea-agent\n":
        assert time.monotonic() < until
        time.sleep(0.01)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()
