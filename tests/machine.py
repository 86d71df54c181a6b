"""A machine to boot: a real systemd as PID 1, in its own namespaces, over an overlay of this machine's /.

    with Machine() as machine:
        machine.run("systemctl", "start", "nplconf.timer")
        machine.power_cut()
        machine.boot()          # the same disk, another boot ID, an empty /run

It has this machine's programs and files, and its own /etc/systemd/system, /run, /tmp, network, processes and journal.
Its writes go to a tmpfs that ends with it. The kernel, its clocks and its modules are shared. A power cut stops it
between two instructions, but loses no written data: the page cache is the host's.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from nplconf.install import units

BOOT = Path(__file__).with_name("machine_boot.sh")
BOOT_SECONDS = 60
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""A test run that is killed takes its machines with it."""
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
}
Run = subprocess.CompletedProcess[str]


def needed_paths(more: tuple[Path, ...] = ()) -> list[str]:
    """The checkout, the interpreter and more paths, where an overlay of / does not show them."""
    wanted = {Path(__file__).resolve().parents[1], Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    wanted.update(path.resolve() for path in more)
    hidden = [p for p in wanted if p.stat().st_dev != Path("/").stat().st_dev or p.is_relative_to("/tmp")]
    return sorted(map(str, hidden))


class Machine:
    """A disk (a tmpfs over /), and what runs on it from one boot to the next."""

    extra: tuple[str, ...] = ()
    """A command that prepares more than every machine needs: `extra enter COMMAND...` before the namespaces are made,
    `extra mount ROOT` when all other mounts are made. It finds the machine's name in MACHINE_NAME."""

    shown: tuple[Path, ...] = ()
    """Paths of the host that its programs need, beside the checkout and the interpreter."""

    def __init__(self) -> None:
        self.name = f"machine-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.directory = Path(tempfile.mkdtemp(prefix="machine-"))
        self._stage = self.directory / "disk"
        self._log = self.directory / "boot.log"
        self._disk: subprocess.Popen[str] | None = None
        self._power: subprocess.Popen[bytes] | None = None
        self.pid = 0
        """PID 1, as the host numbers it."""

    def __enter__(self) -> Self:
        try:
            self._make_disk()
            self.boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        if self._power:
            self.power_cut()
        if self._disk:
            self._remove_cgroups()
            self._disk.kill()
            self._disk.wait()
            if self._disk.stdout:
                self._disk.stdout.close()
        shutil.rmtree(self.directory)

    # --- power

    def boot(self) -> None:
        """Switch it on and wait until it has booted; the disk is as it was left."""
        enter = [*self._enter_disk(), *((*self.extra, "enter") if self.extra else ())]
        argv = [*ENDS_WITH_US, *enter, str(BOOT), str(self._stage), self._cgroup, str(uuid.uuid4())]
        more = {"MACHINE_EXTRA": " ".join(self.extra), "MACHINE_NAME": self.name}
        with self._log.open("w") as log:
            self._power = subprocess.Popen(
                [*argv, *needed_paths(self.shown)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | more,
                start_new_session=True,
            )
        self.pid = self._wait_for(self._first_process, "a first process")
        self._wait_for(lambda: self.path("/run/systemd/private").exists(), "systemd's own socket")
        state = self._wait_for(self._running, "the state of the system")
        assert state == "running", f"{state}: {self.run('systemctl', '--failed', '--plain', check=False).stdout}"

    def _running(self) -> str:
        """Return the state once it has booted; "" while systemd does not answer yet."""
        return self.run("systemctl", "is-system-running", "--wait", check=False).stdout.strip()

    def power_off(self) -> None:
        """Shut down cleanly, as `systemctl poweroff` does."""
        # PID 1 may be gone before systemctl has its answer.
        self.run("systemctl", "poweroff", check=False)
        assert self._power
        self._power.wait(BOOT_SECONDS)
        self._power = None

    def power_cut(self) -> None:
        """End everything at once, in the middle of whatever it does."""
        assert self._power
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid or self._power.pid, signal.SIGKILL)
        self._power.wait(BOOT_SECONDS)
        self._power = None

    def reboot(self) -> None:
        """Shut down cleanly, and boot."""
        self.power_off()
        self.boot()

    # --- what is done on it

    def run(self, *argv: str, check: bool = True, timeout: float = 60, text_in: str | None = None) -> Run:
        """Run a command as root with a clean environment. If it fails, raise AssertionError with its output."""
        done = subprocess.run(
            ["nsenter", f"--target={self.pid}", "--all", "--root", "--wd", *argv],
            capture_output=True,
            text=True,
            input=text_in if text_in is not None else "",
            env=ENVIRONMENT,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(argv)}: {done.returncode}: {done.stderr.strip()} {done.stdout[-2000:]}")
        return done

    def path(self, inside: str) -> Path:
        """Where the host finds a file of the running machine."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def write(self, inside: str, text: str, mode: int = 0o644) -> None:
        """A file of the running machine, with the directories above it."""
        self.path(inside).parent.mkdir(parents=True, exist_ok=True)
        self.path(inside).write_text(text)
        self.path(inside).chmod(mode)

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """The journal's records of this boot, oldest first; matches: journalctl's arguments ("-u", "a.service")."""
        self.run("journalctl", "--sync", check=False)
        lines = self.run("journalctl", "--boot", "--all", "--output=json", *matches).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def state(self, unit: str) -> dict[str, str]:
        """A unit's properties as `systemctl show` tells them."""
        shown = self.run("systemctl", "show", unit).stdout
        return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)

    def wait_until(self, claim: Callable[[], object], what: str, seconds: float = 30) -> None:
        """Until the claim is true; AssertionError naming what did not become so."""
        self._wait_for(claim, what, seconds)

    # --- how it is made

    @property
    def _cgroup(self) -> str:
        return f"{self._stage}/cgroups/{self.name}"

    def _make_disk(self) -> None:
        """Mount a tmpfs in the mount namespace of a child, so that it outlives boots, but not this process."""
        self._stage.mkdir()
        script = (
            f"mount -t tmpfs -o mode=0755 {self.name} {self._stage} && cd {self._stage} && "
            f"mkdir upper work root cgroups && mount -t cgroup2 cgroup2 cgroups && mkdir {self._cgroup} && "
            "echo made && exec sleep infinity"
        )
        self._disk = subprocess.Popen(
            [*ENDS_WITH_US, "unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._disk.stdout
        reported = self._disk.stdout.readline()
        assert reported == "made\n", f"no disk for the machine: {reported}"

    def _remove_cgroups(self) -> None:
        self._on_disk("sh", "-c", f"find {self._cgroup} -depth -type d -exec rmdir {{}} +")

    def _enter_disk(self) -> list[str]:
        assert self._disk
        return ["nsenter", f"--target={self._disk.pid}", "--mount"]

    def _on_disk(self, *argv: str) -> None:
        subprocess.run([*self._enter_disk(), *argv], check=True, capture_output=True, text=True, timeout=BOOT_SECONDS)

    def _first_process(self) -> int:
        assert self._power
        children = Path(f"/proc/{self._power.pid}/task/{self._power.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def _wait_for(self, claim: Callable[[], Any], what: str, seconds: float = BOOT_SECONDS) -> Any:
        deadline = time.monotonic() + seconds
        while not (holds := claim()):
            assert self._power is None or self._power.poll() is None, (
                f"the machine went off, waiting for {what}: {self._log.read_text()}"
            )
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            time.sleep(0.02)
        return holds


ROOT = Path(__file__).resolve().parents[1]


def command_at(place: str) -> tuple[str, ...]:
    """How a copy of nplconf at a place is called inside a machine, with this interpreter."""
    return ("/usr/bin/env", f"PYTHONPATH={place}", "PYTHONDONTWRITEBYTECODE=1", sys.executable, "-m", "nplconf")


NPLCONF = command_at(str(ROOT))
NEEDED = tuple(sorted({str(ROOT), sys.prefix, sys.base_prefix}))


def install(
    machine: Machine, config: str = "", command: tuple[str, ...] = NPLCONF, needed: tuple[str, ...] = NEEDED
) -> None:
    """Put nplconf's units on a machine, with their user and files, as `install-units` does; nothing is started."""
    for path, text in units.fitted(command, needed).items():
        machine.write(path, text)
    if config:
        machine.write("/etc/nplconf/config.yaml", config)
    machine.run("systemd-sysusers")
    machine.run("systemd-tmpfiles", "--create", units.TMPFILES)
    machine.run("systemctl", "daemon-reload")
