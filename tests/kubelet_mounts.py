"""Prepare a machine of tests/machine.py for a kubelet and a container runtime; tests/machine_boot.sh calls it as

    kubelet_mounts.py enter COMMAND...   run a command in a cgroup of its own in each v1 hierarchy
    kubelet_mounts.py mount ROOT         before the machine's root becomes /: cgroups, tmpfs and sysctls at ROOT

MACHINE_NAME (environment) is the name of the cgroups. A cgroup namespace has the cgroup that its maker is in as its
root, so that a hierarchy that is mounted afresh in it begins at the machine's own cgroup.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

HIERARCHIES = Path("/sys/fs/cgroup")
COPIED = ("cpuset.cpus", "cpuset.mems")
"""A new cpuset has neither, and refuses every process until it has both."""
REMOVE_SECONDS = 10
FRESH = ("var/lib/containerd", "var/lib/kubelet", "var/lib/etcd", "var/lib/cni", "var/log/pods", "var/log/containers")
"""An overlay cannot be the upper directory of another one, so these lie on tmpfs."""
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""A kubelet sets these and ends if it cannot. They belong to the host, so files with the values lie over them."""


def cgroups(name: str) -> list[Path]:
    """Return the machine's cgroup in each v1 hierarchy of this machine."""
    return [found / name for found in sorted(HIERARCHIES.iterdir()) if (found / "tasks").exists()]


def enter(name: str) -> None:
    """Create the cgroups and move this process into them."""
    for cgroup in cgroups(name):
        cgroup.mkdir(exist_ok=True)
        for key in COPIED:
            if (cgroup / key).exists():
                (cgroup / key).write_text((cgroup.parent / key).read_text())
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))


def remove(cgroup: Path) -> None:
    """Delete a machine's cgroup after its last process has ended; the kernel may still count that one for a moment."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while cgroup.exists():
        for directory, _, _ in os.walk(cgroup, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{cgroup} has processes left")
        time.sleep(0.02)


def mount(root: Path, name: str) -> None:
    """Mount what a kubelet and a container runtime need beside what every machine has."""
    top = root / "sys/fs/cgroup"
    subprocess.run(["umount", str(top)], check=True)
    _mount("-t", "tmpfs", "-o", "mode=0755", "cgroups", str(top))
    for kind in ("unified", *(cgroup.parent.name for cgroup in cgroups(name))):
        (top / kind).mkdir()
        _mount(*_hierarchy(kind), str(top / kind))
    for fresh in FRESH:
        (root / fresh).mkdir(parents=True, exist_ok=True)
        _mount("-t", "tmpfs", "-o", "mode=0755", "fresh", str(root / fresh))
    for key, value in SYSCTLS.items():
        wanted = root / "run/sysctl" / key
        wanted.parent.mkdir(parents=True, exist_ok=True)
        wanted.write_text(f"{value}\n")
        _mount("--bind", str(wanted), str(root / "proc/sys" / key))
    (root / "dev/kmsg").symlink_to("null")  # a kubelet looks for OOM kills there; the log is the host's kernel's


def _hierarchy(kind: str) -> list[str]:
    if kind == "unified":
        return ["-t", "cgroup2", "cgroup2"]
    return ["-t", "cgroup", "-o", "none,name=systemd" if kind == "systemd" else kind, kind]


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    if sys.argv[1] == "enter":
        enter(os.environ["MACHINE_NAME"])
        os.execv(sys.argv[2], sys.argv[2:])
    mount(Path(sys.argv[2]), os.environ["MACHINE_NAME"])
