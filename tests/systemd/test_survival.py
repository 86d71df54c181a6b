"""The hold daemon dies in every way, and no number is ever anybody else's; traffic never notices."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from booted import HOLD, Booted, booted
from echo import Answer
from machine import ENVIRONMENT

pytestmark = pytest.mark.systemd
INTRUDER = Path(__file__).parents[1] / "intruder.py"
FEW = "portRange: 61000-61063\n"


@pytest.fixture(scope="module")
def node() -> Iterator[Booted]:
    with booted(FEW) as made:
        made.install()
        yield made


class Client:
    """Asks one number again and again, from another machine, a connection each time."""

    def __init__(self, node: Booted, number: int) -> None:
        self.asked, self.failed = 0, list[str]()
        self._node, self._number = node, number
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            answer = self._node.ask(self._number)
            self.asked += 1
            if not isinstance(answer, Answer):
                self.failed.append(answer)
            time.sleep(0.002)


def on(node: Booted, *argv: str) -> "subprocess.Popen[str]":
    """A program that runs on the machine."""
    enter = ["nsenter", f"--target={node.machine.pid}", "--all", "--root", "--wd"]
    return subprocess.Popen([*enter, *argv], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)


def intruder(node: Booted) -> "subprocess.Popen[str]":
    return on(node, sys.executable, str(INTRUDER), "61000", "61063", "/run/enough")


KILLER = """
last=0; count=0
while [ "$count" -lt 12 ]; do
    pid=$(systemctl show --property=MainPID --value nplconf-hold.service)
    if [ "$pid" != 0 ] && [ "$pid" != "$last" ]; then
        sleep "0.0$((count % 7))"  # now in the middle of its start, now when it has settled
        kill -9 "$pid" && last=$pid && count=$((count + 1))
    fi
done
touch /run/enough
"""


def test_killed_in_a_loop_it_never_loses_a_number_and_traffic_never_stops(node: Booted) -> None:
    number = next(iter(node.numbers().values()))
    with Client(node, number) as client, intruder(node) as thief, on(node, "sh", "-c", KILLER) as killer:
        assert killer.wait(timeout=120) == 0
        found = json.loads(thief.communicate(timeout=60)[0])
    assert found["ways"] == 80
    assert found["rounds"] >= 1
    assert found["got"] == []
    assert client.asked > 200
    assert client.failed == []
    node.machine.wait_until(lambda: node.machine.state(HOLD)["ActiveState"] == "active", "the daemon")
    assert node.machine.state(HOLD)["NFileDescriptorStore"] == "2"
    assert node.run_job() == "success"
