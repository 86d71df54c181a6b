"""The units: their permissions, their paths, and a run under their hardening on a real systemd."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from machine import NEEDED, ROOT, Machine, command_at, install

from nplconf.install import systemd, units

EXAMPLE = ROOT / "examples" / "cluster-6281.yaml"
CONFIG = """\
node: worker-1
clusterState: [/var/lib/nplconf/cluster.yaml]
writeBack: /var/lib/nplconf/cluster.yaml
"""
HOLD, JOB = "nplconf-hold.service", "nplconf.service"


# --- as text ---------------------------------------------------------------------------------------------------------


def test_every_unit_calls_the_nplconf_that_installs_it() -> None:
    files = units.fitted(["/opt/my tools/nplconf 100%"])
    text = "".join(files.values())
    assert units.PLACEHOLDER not in text
    assert text.count('="/opt/my tools/nplconf 100%%" ') == 3
    assert 'ExecStartPre=-+"/opt/my tools/nplconf 100%%" hold --reserve' in text


def test_every_unit_names_the_page_about_the_units_that_is_installed() -> None:
    uri = units.page()
    assert Path(unquote(uri.removeprefix("file://"))).read_text().startswith("# The units\n")
    for unit in units.UNITS:
        text = units.fitted(["/opt/nplconf"], page="file:///a%20b/README.md")[f"{units.UNIT_DIRECTORY}/{unit}"]
        assert text.count("\nDocumentation=") == text.count("\nDocumentation=file:///a%%20b/README.md\n") == 1


def test_the_command_is_a_path_without_ways_back_and_with_its_links(tmp_path: Path) -> None:
    place = tmp_path / "version-1" / "bin"
    place.mkdir(parents=True)
    (place / "nplconf").write_text("")
    (tmp_path / "current").symlink_to("version-1")
    for called in ("current/bin/nplconf", "current/bin/../bin/nplconf", "version-1/../current/bin/nplconf"):
        assert systemd.called_as(f"{tmp_path}/{called}", {}) == (f"{tmp_path}/current/bin/nplconf",)
    (tmp_path / "elsewhere").symlink_to("version-1/bin")
    assert systemd.called_as(f"{tmp_path}/elsewhere/../bin/nplconf", {}) == (str(place / "nplconf"),)


def test_only_known_paths_are_written() -> None:
    everything = units.fitted(["/opt/nplconf"], ["/root/venv", "/tmp/venv", "/srv/closed/venv"], ["/srv/closed"])
    assert set(everything) == set(units.PATHS)
    assert set(units.fitted(["/opt/nplconf"], ["/opt"])) == set(units.PATHS) - {
        units.JOB_REACH,
        units.WATCH_REACH,
        units.HOLD_REACH,
    }


@pytest.mark.parametrize(
    ("needed", "closed", "lines"),
    [
        (["/root/venv"], ["/root"], ["ProtectHome=tmpfs", "BindReadOnlyPaths=/root/venv"]),
        (["/home/a b/venv"], [], ["ProtectHome=tmpfs", 'BindReadOnlyPaths="/home/a b/venv"']),
        (["/srv/x/venv", "/usr"], ["/srv/x"], ["TemporaryFileSystem=/srv/x:ro", "BindReadOnlyPaths=/srv/x/venv"]),
        (["/tmp/venv"], [], ["BindReadOnlyPaths=/tmp/venv"]),
    ],
)
def test_the_daemon_sees_what_it_runs_from_and_nothing_else(
    needed: list[str], closed: list[str], lines: list[str]
) -> None:
    written = units.fitted(["/x"], needed, closed)[units.HOLD_REACH].splitlines()
    assert [line for line in written if not line.startswith(("#", "["))] == lines


def test_the_job_may_write_what_its_configuration_names_and_the_socket_is_where_it_says() -> None:
    files = units.fitted(["/x"], writes=["/srv/a b", "/var/spool/100%"], socket="/run/other.sock")
    assert 'ReadWritePaths="-/srv/a b" "-/var/spool/100%%"\n' in files[units.JOB_REACH]
    assert "ListenStream=/run/other.sock\n" in files[f"{units.UNIT_DIRECTORY}/nplconf-hold.socket"]


def test_a_file_in_tmp_is_the_machines_and_not_one_in_a_tmp_of_its_own() -> None:
    files = units.fitted(["/x"], writes=["/tmp/shared", "/srv/metrics"])
    assert files[units.JOB_REACH].splitlines()[2:] == ["BindPaths=-/tmp/shared", "ReadWritePaths=-/srv/metrics"]


def test_what_the_job_reads_in_tmp_is_shown_to_it() -> None:
    files = units.fitted(["/x"], ["/tmp/venv"], reads=["/tmp/kube", "/etc/nplconf", "/tmp/venv/etc"], writes=["/srv"])
    assert "BindReadOnlyPaths=/tmp/venv -/tmp/kube\n" in files[units.JOB_REACH]


# --- as systemd reads them -------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with the units in it, and an executable where they look for one."""
    for path, text in units.fitted(["/usr/bin/true"]).items():
        target = tmp_path / path.removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return tmp_path


@pytest.mark.systemd
def test_systemd_finds_nothing_to_complain_about(root: Path) -> None:
    paths = [str(root / units.UNIT_DIRECTORY.removeprefix("/") / unit) for unit in units.UNITS]
    output = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    assert (output.returncode, output.stdout + output.stderr) == (0, "")


@pytest.mark.systemd
@pytest.mark.parametrize(("unit", "threshold"), [(JOB, 2.5), (HOLD, 1.5)])
def test_the_exposure_is_low(root: Path, unit: str, threshold: float) -> None:
    path = str(root / units.UNIT_DIRECTORY.removeprefix("/") / unit)
    argv = ["systemd-analyze", "security", "--offline=true", f"--threshold={threshold * 10:.0f}", "--no-pager", path]
    output = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert output.returncode == 0, output.stdout[-200:]
    assert "Overall exposure level" in output.stdout


# --- as they run -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A node with a cluster in a file, and everything installed and started."""
    with Machine() as booted:
        booted.run("ip", "address", "add", "10.10.10.10/32", "dev", "lo")
        booted.run("sysctl", "-qw", "net.ipv4.ip_local_reserved_ports=8080")
        booted.write("/etc/sysctl.d/60-own.conf", "net.ipv4.ip_local_reserved_ports = 8080\n")
        install(booted, CONFIG)
        booted.write("/var/lib/nplconf/cluster.yaml", EXAMPLE.read_text())
        booted.run("systemctl", "enable", "--now", "nplconf-hold.socket", HOLD, "nplconf.timer")
        yield booted


def rules(machine: Machine) -> list[str]:
    saved = machine.run("iptables-nft-save", "-t", "nat").stdout.splitlines()
    return [line for line in saved if "-j DNAT" in line]


def bound(machine: Machine, number: int) -> bool:
    """Whether a program on the machine could have the number."""
    code = f"import socket; s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(('', {number}))"
    return machine.run("/usr/bin/python3", "-c", code, check=False).returncode == 0


def converged(machine: Machine) -> bool:
    """Both mappings of the example are published, which is the last that a run does, and the run is over."""
    published = machine.path("/var/lib/nplconf/cluster.yaml").read_text().count("nodeportlocal.antrea.io:") == 1
    return published and machine.state(JOB)["ActiveState"] == "inactive"


@pytest.mark.systemd
@pytest.mark.parametrize("unit", [HOLD, JOB])
def test_no_unit_needs_a_user_namespace(machine: Machine, unit: str) -> None:
    """With user.max_user_namespaces=0 (hardened nodes) a unit that needs one does not start: 217/USER."""
    assert machine.state(HOLD)["ActiveState"] == "active"
    shown = machine.run("systemctl", "show", unit, "--property=PrivateUsers").stdout.strip()
    assert shown == "PrivateUsers=no"
    pid = machine.run("systemctl", "show", HOLD, "--property=MainPID", "--value").stdout.strip()
    namespaces = [machine.run("readlink", f"/proc/{number}/ns/user").stdout for number in ("1", pid)]
    assert namespaces[0] == namespaces[1]


@pytest.mark.systemd
def test_the_timer_converges_the_node(machine: Machine) -> None:
    machine.wait_until(lambda: converged(machine), "both mappings of the example published")
    assert len(rules(machine)) == 2
    assert machine.state(JOB)["Result"] == "success"


@pytest.mark.systemd
@pytest.mark.parametrize("extra", ["", "output: json\n", "verbose: true\nlogFormat: json\n"])
def test_an_idle_run_writes_no_record(machine: Machine, extra: str) -> None:
    machine.wait_until(lambda: converged(machine), "both mappings of the example published")
    machine.write("/etc/nplconf/config.yaml", CONFIG + extra)
    units = ("-u", JOB, "-u", HOLD)
    before = len(machine.journal(*units))
    machine.run("systemctl", "start", JOB)
    machine.write("/etc/nplconf/config.yaml", CONFIG)
    assert [record["MESSAGE"] for record in machine.journal(*units)[before:]] == []


@pytest.mark.systemd
def test_every_change_is_one_record(machine: Machine) -> None:
    machine.wait_until(lambda: converged(machine), "both mappings of the example published")
    messages = [record["MESSAGE"] for record in machine.journal("-u", JOB)]
    for port in (9000, 9090):
        named = [m for m in messages if f"default/web-deployment-6c4f8d9b7-x2k8q:{port}" in m]
        assert len(named) == 1, messages


@pytest.mark.systemd
def test_legacy_iptables_works_under_the_hardening_too(machine: Machine) -> None:
    machine.run("systemctl", "stop", "nplconf.timer", JOB)
    machine.write("/etc/nplconf/config.yaml", CONFIG + "backend: legacy\n")
    try:
        machine.run("systemctl", "start", JOB)
        saved = machine.run("iptables-legacy-save", "-t", "nat").stdout
        assert saved.count("-j DNAT") == 2, [record["MESSAGE"] for record in machine.journal("-u", JOB)]
    finally:
        machine.write("/etc/nplconf/config.yaml", CONFIG)
        machine.run("systemctl", "start", JOB, "nplconf.timer")


@pytest.mark.systemd
def test_the_daemon_runs_as_an_unprivileged_user(machine: Machine) -> None:
    pid = machine.state(HOLD)["MainPID"]
    status = machine.path(f"/proc/{pid}/status").read_text()
    assert "Uid:\t0" not in status
    assert "CapPrm:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert not bound(machine, 61000)
    assert not bound(machine, 62000)
    assert bound(machine, 62001)


@pytest.mark.systemd
def test_its_socket_is_roots_alone(machine: Machine) -> None:
    assert machine.run("stat", "-c", "%a %U", "/run/nplconf/hold.sock").stdout == "600 root\n"


@pytest.mark.systemd
def test_at_every_boot_the_range_is_held_and_reserved_before_anything_that_waits_for_it(machine: Machine) -> None:
    kubelet = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'cat /proc/net/tcp* | wc -l; {try}'\n"
    tried = "/usr/bin/python3 -c \"import socket; socket.socket().bind((\\'\\', 61500))\" && echo had || echo refused"
    machine.write(
        "/etc/systemd/system/kubelet.service",
        kubelet.replace("{try}", tried) + "[Install]\nWantedBy=multi-user.target\n",
    )
    machine.run("systemctl", "enable", "kubelet.service")
    machine.reboot()
    assert "refused" in [record["MESSAGE"] for record in machine.journal("-u", "kubelet.service")]
    assert machine.run("sysctl", "-n", "net.ipv4.ip_local_reserved_ports").stdout.strip() == "8080,61000-62000"


@pytest.mark.systemd
def test_a_refusal_is_reported_at_once(machine: Machine) -> None:
    code = (
        "import socket, time\n"
        "for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n"
        "    s = socket.socket(socket.AF_INET, kind); s.settimeout(2)\n"
        "    try: s.connect(('10.99.0.1', 61500)); s.send(b'x'); print(s.recv(1))\n"
        "    except OSError as error: print(type(error).__name__)\n"
    )
    for argv in (
        ("ip", "netns", "add", "client"),
        ("ip", "link", "add", "c0", "netns", "client", "type", "veth", "peer", "name", "n0"),
        ("ip", "-n", "client", "address", "add", "10.99.0.2/24", "dev", "c0"),
        ("ip", "address", "add", "10.99.0.1/24", "dev", "n0"),
        ("ip", "-n", "client", "link", "set", "c0", "up"),
        ("ip", "link", "set", "n0", "up"),
    ):
        machine.run(*argv)
    output = machine.run("ip", "netns", "exec", "client", "/usr/bin/python3", "-c", code).stdout.split()
    assert output == ["ConnectionRefusedError", "ConnectionRefusedError"]


@pytest.mark.systemd
def test_a_hanging_child_is_ended_with_the_run(machine: Machine) -> None:
    hung = "[Service]\nTimeoutStartSec=1s\nExecStart=\nExecStart=/bin/sh -c 'setsid sleep 4242 & sleep 4242'\n"
    machine.write("/etc/systemd/system/nplconf.service.d/99-hang.conf", hung)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "stop", "nplconf.timer", JOB)
    try:
        assert machine.run("systemctl", "start", JOB, check=False).returncode != 0
        assert machine.state(JOB)["Result"] == "timeout"
        assert machine.run("pgrep", "-f", "sleep 4242", check=False).stdout == ""
    finally:
        machine.path("/etc/systemd/system/nplconf.service.d/99-hang.conf").unlink()
        machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", JOB, "nplconf.timer")


@pytest.mark.systemd
def test_it_runs_from_where_only_root_may_look_and_from_tmp() -> None:
    with Machine() as machine:
        for place in ("/root/site", "/tmp/site"):
            shutil.copytree(ROOT / "nplconf", machine.path(place) / "nplconf")
            install(machine, CONFIG, command_at(place), (place, *NEEDED))
            machine.path("/root").chmod(0o700)
            machine.run("systemctl", "restart", "nplconf-hold.socket", HOLD)
            assert not bound(machine, 61000), place


# --- beside a package ------------------------------------------------------------------------------------------------


def test_beside_a_package_only_what_differs_is_written_to_etc() -> None:
    shipped = units.fitted([units.PLACEHOLDER], ["/usr"])
    packaged = {units.packaged_path(path): text for path, text in shipped.items()}
    assert set(packaged) == {
        *(f"/usr/lib/systemd/system/{unit}" for unit in units.UNITS),
        "/usr/lib/sysusers.d/nplconf.conf",
        "/usr/lib/tmpfiles.d/nplconf.conf",
    }
    assert units.beside_packaged(shipped, packaged) == {}
    assert units.beside_packaged(shipped, {}) == shipped
    changed = units.fitted([units.PLACEHOLDER], ["/usr"], writes=["/srv/state"], socket="/run/own/hold.sock")
    assert set(units.beside_packaged(changed, packaged)) == {
        units.JOB_REACH,
        f"{units.UNIT_DIRECTORY}/nplconf-watch.service.d/10-reach.conf",
        f"{units.UNIT_DIRECTORY}/nplconf-hold.socket",
    }


def test_a_file_in_etc_that_hides_one_of_a_package_is_found(tmp_path: Path) -> None:
    for path in ("usr/lib/systemd/system/nplconf.service", "etc/systemd/system/nplconf.service"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("")
    (tmp_path / "etc/systemd/system/nplconf.timer").write_text("")
    assert systemd.packaged(tmp_path) == {"/usr/lib/systemd/system/nplconf.service": ""}
    assert systemd.hiding(tmp_path) == ("/etc/systemd/system/nplconf.service",)
