"""The deb on a booted machine: installed, upgraded, removed and purged. The rpm by its own checks."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import packagebox
import pytest
import worlds
from booted import CLUSTER, HOLD, JOB, POD_IP, PORTS, SAME_BOOT, TIMER, Booted, booted
from echo import Answer
from machine import ENVIRONMENT
from netns import inside

from nplconf.cli import manual
from nplconf.install import units

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
CONFIG = "/etc/nplconf/config.yaml"
LONG = 7000
"""The Pod's port whose connection stays open."""
FEW = "portRange: 61000-61063\n"
STARTED = ("nplconf-hold.socket", HOLD, TIMER)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two releases of the deb, and the rpm: name -> file."""
    packages, later = packagebox.built(tmp_path_factory), tmp_path_factory.mktemp("later")
    packagebox.build(later, "deb", release="2")
    (first,), (second,), (rpm,) = packages.glob("*-1_*.deb"), later.glob("*-2_*.deb"), packages.glob("*.rpm")
    return {"1": first, "2": second, "rpm": rpm}


@pytest.fixture
def node(built: dict[str, Path]) -> Iterator[Booted]:
    """A machine on which the first release is installed and nothing is started."""
    with booted(FEW) as made:
        made.write(*objects())
        for name in ("1", "2"):
            made.machine.path(f"/var/{name}.deb").write_bytes(built[name].read_bytes())
        made.machine.run("dpkg", "--install", "/var/1.deb", timeout=300)
        yield made


def objects() -> list[dict[str, object]]:
    ports = (*PORTS, LONG)
    pod = worlds.raw_pod("web", [POD_IP], labels={"app": "web"}, ports=[{"containerPort": port} for port in ports])
    return [pod, *(worlds.raw_service(f"s{port}", [(80, port, "TCP")]) for port in ports)]


def start(node: Booted) -> dict[int, int]:
    """As the page on packages says; the numbers."""
    node.machine.write(CONFIG, node.config)
    node.machine.write(f"/run/systemd/system/{JOB}.d/99-test.conf", SAME_BOOT)
    node.machine.run("nplconf", "install-units", "--now")
    node.run_job()
    return node.numbers()


def doctor(node: Booted) -> list[dict[str, str]]:
    """Its checks that are not ok, without those that could not read their facts."""
    checks = json.loads(node.machine.run("nplconf", "doctor", "-o", "json", check=False).stdout)["checks"]
    return [c for c in checks if c["status"] != "ok" and not c["message"].startswith("not checked")]


def own_files(node: Booted) -> set[str]:
    """Every file of nplconf outside of what the package lists."""
    found = node.machine.run("find", "/etc", "/run", "/usr", "/var/lib", "-xdev", "-path", "*nplconf*", "-print")
    listed = set(node.machine.run("dpkg", "--listfiles", "nplconf", check=False).stdout.splitlines())
    passing = ("/var/lib/dpkg/", "/run/systemd/", "/usr/lib/nplconf/lib/")
    return {path for path in found.stdout.splitlines() if path not in listed and not path.startswith(passing)}


# --- the deb ---------------------------------------------------------------------------------------------------------


def test_installing_starts_nothing_and_the_units_of_the_package_are_used(node: Booted) -> None:
    assert [node.machine.state(unit)["ActiveState"] for unit in STARTED] == ["inactive"] * 3
    numbers = start(node)
    assert len(numbers) == 3
    assert isinstance(node.ask(numbers[8080]), Answer)
    used = [node.machine.state(unit)["FragmentPath"] for unit in STARTED]
    assert [path.removeprefix("/usr") for path in used] == [f"/lib/systemd/system/{unit}" for unit in STARTED]
    assert [path for path in units.PATHS if node.machine.path(path).exists() and "reach" not in path] == []
    assert node.machine.state(JOB)["Result"] == "success"
    assert doctor(node) == []
    node.machine.write(f"/etc/systemd/system/{HOLD}", "[Service]\nExecStart=/bin/false\n")
    (shadowed,) = doctor(node)
    assert HOLD in shadowed["message"]
    node.machine.run("nplconf", "install-units", "--now")
    assert doctor(node) == []


def test_an_upgrade_keeps_every_number_and_every_connection(node: Booted) -> None:
    numbers = start(node)
    before = node.machine.state(HOLD)["MainPID"]
    with inside(f"{node.places.prefix}-web"), socket.create_server(("", LONG)) as server:
        with inside(f"{node.places.prefix}-client"):
            client = socket.create_connection(("10.10.10.10", numbers[LONG]), timeout=20)
        pod, _ = server.accept()
        with client, pod, thief(node) as found:
            node.machine.run("dpkg", "--install", "/var/2.deb", timeout=300)
            node.machine.write("/run/enough", "")
            got = json.loads(found.communicate(timeout=60)[0])
            client.sendall(b"still there?")
            assert pod.recv(64) == b"still there?"
            pod.sendall(b"yes")
            assert client.recv(64) == b"yes"
    assert got["rounds"] >= 1
    assert got["got"] == []
    assert node.machine.state(HOLD)["MainPID"] != before, "the new daemon runs"
    assert node.machine.state(HOLD)["NFileDescriptorStore"] == "2"
    assert [node.machine.state(unit)["ActiveState"] for unit in STARTED] == ["active"] * 3
    assert node.run_job() == "success"
    assert node.numbers() == numbers
    assert node.machine.path(CONFIG).read_text() == node.config, "the administrator's configuration"
    assert doctor(node) == []


def thief(node: Booted) -> "subprocess.Popen[str]":
    """A program that tries to get every number until /run/enough is there."""
    enter = ["nsenter", f"--target={node.machine.pid}", "--all", "--root", "--wd"]
    program = [sys.executable, str(ROOT / "tests/intruder.py"), "61000", "61063", "/run/enough"]
    return subprocess.Popen([*enter, *program], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)


def test_removing_cleans_the_node_and_purging_removes_configuration_and_state(node: Booted) -> None:
    start(node)
    node.machine.run("dpkg", "--remove", "nplconf", timeout=120)
    assert node.rules() == []
    assert node.numbers() == {}, "the annotation is withdrawn"
    assert node.machine.path(CONFIG).read_text() == node.config
    assert own_files(node) == {
        "/var/lib/nplconf",
        *(f"/var/lib/nplconf/{name}.json" for name in ("state", "last-success")),
    }
    node.machine.run("dpkg", "--purge", "nplconf", timeout=120)
    assert own_files(node) == set()
    assert "nplconf" not in node.machine.path("/etc/passwd").read_text()


def test_a_package_that_was_never_configured_is_removed(node: Booted) -> None:
    node.machine.run("dpkg", "--purge", "nplconf", timeout=120)
    assert own_files(node) == set()


def test_man_pages_and_completions_work_where_the_package_puts_them(node: Booted) -> None:
    page = node.machine.run("man", "nplconf-apply").stdout
    assert "nplconf-apply - Make this node match the cluster" in page
    assert "nplconf" in node.machine.run("man", "nplconf").stdout
    bash = "source /usr/share/bash-completion/completions/nplconf; COMP_WORDS=(nplconf expl); COMP_CWORD=1; _nplconf; "
    assert node.machine.run("bash", "-c", f"{bash} echo $COMPREPLY").stdout == "explain\n"
    assert set(fish(node, "nplconf apply --backend ipt")) == {"iptables-legacy", "iptables-nft"}
    assert fish(node, f"nplconf render --cluster-state {CLUSTER} --node ") == [worlds.NODE]
    numbers = start(node)
    assert set(fish(node, "nplconf explain tcp/")) == {f"tcp/{number}" for number in numbers.values()}
    assert zsh(node, "nplconf app") == "nplconf apply "
    assert zsh(node, "nplconf schema po") == "nplconf schema policy "
    assert zsh(node, "nplconf show --outp") == "nplconf show --output "


def fish(node: Booted, line: str) -> list[str]:
    """What fish offers for the last word of a line, without the descriptions."""
    done = node.machine.run("fish", "-c", f"complete -C '{line}'")
    return [offer.partition("\t")[0] for offer in done.stdout.splitlines()]


ZSHRC = r"""
PS1=
fpath=(/usr/share/zsh/vendor-completions $fpath)
autoload -Uz compinit
compinit -u -D
show() { print -r -- "<<$BUFFER>>"; zle .kill-buffer }
zle -N show
bindkey '^Y' show
print ready''now
"""
ZSH = r"""
zmodload zsh/zpty
zpty shell ZDOTDIR=/var/zsh zsh -o no_global_rcs
zpty -r shell line '*readynow*'
zpty -w -n shell "$1"$'\t\C-y'
zpty -r shell line '*>>*'
print -r -- "$line"
"""
"""Types a line, Tab and Ctrl-Y into an interactive zsh."""


def zsh(node: Booted, line: str) -> str:
    """What an interactive zsh makes of a line and Tab."""
    node.machine.write("/var/zsh/.zshrc", ZSHRC)
    output = node.machine.run("zsh", "-f", "-c", ZSH, "zsh", line).stdout
    (found,) = re.findall(r"<<(.*?)>>", output)
    return str(found)


# --- the rpm, and both -----------------------------------------------------------------------------------------------


def of_rpm(built: dict[str, Path], *query: str) -> list[str]:
    done = subprocess.run(
        ["rpm", "--query", *query, "--package", built["rpm"]], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_the_rpm_is_whole_and_marks_its_configuration(built: dict[str, Path], tmp_path: Path) -> None:
    subprocess.run(["rpm", "--checksig", "--nosignature", built["rpm"]], check=True, capture_output=True)
    assert of_rpm(built, "--configfiles") == [CONFIG]
    test = ["rpm", "--dbpath", str(tmp_path), "--install", "--test", "--nodeps", str(built["rpm"])]
    subprocess.run(test, check=True, capture_output=True)


def test_the_scripts_of_the_rpm_are_those_of_the_deb(built: dict[str, Path], tmp_path: Path) -> None:
    scripts = "\n".join(of_rpm(built, "--scripts"))
    for part in ("after-install", "before-remove", "after-remove"):
        assert (ROOT / ".ci/packages" / part).read_text().partition("\n")[2].strip() in scripts
    for tag in ("PREIN", "POSTIN", "PREUN", "POSTUN"):
        (tmp_path / tag).write_text("\n".join(of_rpm(built, "--queryformat", f"%{{{tag}}}")))
        subprocess.run(["sh", "-n", tmp_path / tag], check=True)


def test_both_packages_have_the_same_files_and_every_unit_and_man_page(built: dict[str, Path]) -> None:
    listed = subprocess.run(["dpkg-deb", "--contents", built["1"]], capture_output=True, text=True, check=True).stdout
    deb = {line.split()[5].removeprefix(".") for line in listed.splitlines() if not line.startswith("d")}
    rpm = set(of_rpm(built, "--queryformat", "[%{FILEMODES:perms} %{FILENAMES}\n]"))
    rpm = {line.split()[1] for line in rpm if not line.startswith("d")}
    assert {path.replace("vendor-completions", "site-functions") for path in deb} == rpm
    assert {f"/usr/lib/systemd/system/{unit}" for unit in units.UNITS} <= deb
    assert {f"/usr/share/man/man1/{name}.gz" for name in manual.files()} <= deb


def test_the_packages_run_on_each_python_they_allow(built: dict[str, Path]) -> None:
    listed = subprocess.run(["dpkg-deb", "--contents", built["1"]], capture_output=True, text=True, check=True).stdout
    compiled = set(re.findall(r"\./usr/lib/nplconf/\S+\.so\b", listed))
    assert {re.sub(r"cpython-3\d+", "cpython", path) for path in compiled} == {
        "./usr/lib/nplconf/lib/python3/site-packages/rpds/rpds.cpython-x86_64-linux-gnu.so"
    }
    assert {m[1] for path in compiled if (m := re.search(r"cpython-3(\d+)", path))} == {"11", "12", "13", "14"}
