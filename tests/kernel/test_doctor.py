"""Each fault that doctor names, caused alone on a real node: doctor names it and nothing else."""

import json
import os
import socket
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import antrea
import pytest
import worlds
from netns import ROOT, World, batch, inside, sysctl
from shims import Shims

from nplconf.doctor.checks import every
from nplconf.node import last_success as success

pytestmark = pytest.mark.kernel
OTHER = {"nft": "legacy", "legacy": "nft"}
ANTREA = """\
*nat
:ANTREA-NODE-PORT-LOCAL - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j ANTREA-NODE-PORT-LOCAL
-A OUTPUT -m comment --comment "Antrea's, \\"ours\\"" -j ANTREA-NODE-PORT-LOCAL
-A ANTREA-NODE-PORT-LOCAL -p tcp -m tcp --dport 61000 -j DNAT --to-destination :80
COMMIT
"""


@pytest.fixture
def served(node: World) -> World:
    """A node on which all is well, but that no systemd runs there."""
    node.write(node.routed("web", "10.244.3.1"), worlds.raw_service("web", [(80, 8080, "TCP")]))
    node.start_hold()
    assert node.apply().code == 0
    return node


@pytest.fixture
def backend() -> str:
    return "nft"


def named(node: World, *arguments: str) -> dict[str, str]:
    """The checks that are not ok, and their status, without what a node without systemd has anyway."""
    found = checks(node, *arguments)
    assert found.pop("units")["status"] == "warn"
    assert found.pop("hold-store")["status"] in ("warn", "ok")
    for check in found.values():
        assert (check["fix"] is None) == (check["status"] == "ok"), check
        assert check["message"]
    return {name: str(check["status"]) for name, check in found.items() if check["status"] != "ok" and seen(check)}


def seen(check: Mapping[str, str | None]) -> bool:
    """Whether a check could read its facts."""
    return not str(check["message"]).startswith("not checked")


def checks(node: World, *arguments: str) -> dict[str, dict[str, str | None]]:
    """Every check by its name."""
    done = node.json("doctor", *arguments)
    assert list(done.data) == ["node", "ok", "checks"]
    found = {str(check.pop("check")): check for check in done.data["checks"]}
    assert list(found) == [check.name for check in every() if check.name != "sctp"]
    failed = any(check["status"] == "fail" for check in found.values())
    assert (done.code, done.data["ok"]) == ((5, False) if failed else (0, True))
    return found


def test_a_healthy_node_has_no_fault(served: World) -> None:
    assert named(served) == {}


def test_it_changes_nothing(served: World) -> None:
    before = everything(served)
    named(served)
    assert everything(served) == before


def test_it_works_on_a_bare_machine_and_leaves_it_bare(node: World) -> None:
    node.hold = True
    assert named(node) == {"hold": "fail", "last-success": "warn", "api-rights": "fail"}
    assert node.run("nft", "list", "ruleset").stdout == ""
    assert node.run("cat", "/proc/net/ip_tables_names").stdout == ""
    assert not (node.directory / "state").exists()


def everything(node: World) -> tuple[str, str, list[tuple[str, float]]]:
    """Rules, sysctls and files that a check could change."""
    rules = node.run("nft", "--stateless", "list", "ruleset").stdout
    values = node.run(
        "sh", "-c", "sysctl -a 2>/dev/null | grep -e ^net.ipv4 -e ^net.ipv6 | grep -v -e stat -e random"
    ).stdout
    files = [(str(path), path.stat().st_mtime) for path in sorted((node.directory / "state").iterdir())]
    return rules, values, files


# --- what it works with ----------------------------------------------------------------------------------------------


def test_an_iptables_that_does_not_answer(served: World, tmp_path: Path) -> None:
    served.shims = Shims.make(tmp_path / "shims")
    for what in ("restore", "save"):
        served.shims.have(f"iptables-nft-{what}", "echo 'no support' >&2; exit 1")
    assert named(served) == {"backend": "fail"}
    assert "no support" in str(checks(served)["backend"]["message"])


@pytest.mark.parametrize(
    "complaint",
    [
        "Warning: Extension addrtype revision 0 not supported, missing kernel module?",
        "iptables-restore v1.8.4 (nf_tables): Couldn't load match `addrtype':No such file or directory",
    ],
)
def test_a_kernel_without_addrtype(served: World, tmp_path: Path, complaint: str) -> None:
    served.shims = Shims.make(tmp_path / "shims")
    fails = f'case "$*" in *--test*) echo "{complaint}" | tr "\\140" "\\140" >&2; exit 2 ;; esac'
    served.shims.have("iptables-nft-restore", fails.replace("`", "\\`"))
    found = checks(served)["backend"]
    assert (found["status"], found["fix"]) == ("fail", "modprobe xt_addrtype"), found


def test_rules_in_the_other_iptables(served: World) -> None:
    served.restore("*nat\n:NPLCONF - [0:0]\nCOMMIT\n", backend=OTHER[served.backend])
    assert named(served) == {"backend-leftovers": "warn"}
    assert served.apply().code == 0
    assert named(served) == {}


@pytest.mark.parametrize("capability", ["net_admin", "net_raw"])
def test_a_missing_capability(served: World, capability: str) -> None:
    argv = (sys.executable, "-m", "nplconf", "doctor", "-o", "json", *served._options())
    done = served.run("setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}", *argv)
    wrong = {c["check"] for c in json.loads(done.stdout)["checks"] if c["status"] != "ok" and seen(c)}
    assert wrong - {"units", "hold-store"} == {"capabilities"}
    assert done.returncode == 5


def test_without_root_there_is_only_one_message(served: World) -> None:
    served.directory.chmod(0o755)
    (served.directory / "state").chmod(0o700)
    packages = f"{ROOT}:{sysconfig.get_path('purelib')}"
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", f"PYTHONPATH={packages}")
    argv = ("/usr/bin/python3", "-B", "-m", "nplconf", "doctor", "-o", "json", *served._options())
    done = served.run(*nobody, *argv)
    found = json.loads(done.stdout)["checks"]
    wrong = {c["check"] for c in found if c["status"] != "ok" and seen(c)}
    assert wrong - {"units", "hold-store"} == {"capabilities"}
    hidden = {c["check"]: c["status"] for c in found if not seen(c)}
    assert set(hidden) >= {"backend", "backend-leftovers", "forward-policy", "hold", "last-success", "antrea"}
    assert set(hidden.values()) == {"warn"}
    assert done.returncode == 5
    published = served.run(*nobody, *argv[: -len(served._options()) - 2], *served._options()).stdout
    assert published.splitlines()[-1].endswith(f"{len(hidden)} not checked.")


# --- the network -----------------------------------------------------------------------------------------------------


def test_forwarding_switched_off(served: World) -> None:
    sysctl(served.node, "net.ipv4.ip_forward", 0)
    assert named(served) == {"ip-forward": "fail"}
    fix(served, "ip-forward")


def test_a_strict_rp_filter_where_answers_leave_by_another_device(served: World) -> None:
    batch(f"-n {served.node}", "link add eth7.9 type veth peer name other", "link set eth7.9 up", "link set other up")
    batch(f"-n {served.node}", "address add 10.99.0.2/24 dev eth7.9", "route add default via 10.99.0.1 dev eth7.9")
    assert named(served) == {}
    sysctl(served.node, "net.ipv4.conf.client.rp_filter", 1)
    assert named(served) == {"ip-forward": "warn"}
    assert "rp_filter=1 on client" in str(checks(served)["ip-forward"]["message"])
    fix(served, "ip-forward")


def test_a_strict_rp_filter_where_answers_go_back_the_same_way(served: World) -> None:
    batch(f"-n {served.node}", "route add default via 10.10.10.77 dev client")
    sysctl(served.node, "net.ipv4.conf.all.rp_filter", 1)
    assert named(served) == {}


def test_a_pod_that_no_route_leads_to(served: World) -> None:
    batch(f"-n {served.node}", "route delete 10.244.3.1/32", "route add unreachable 10.244.3.1/32")
    assert named(served) == {"ip-forward": "fail"}


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_a_firewall_that_drops_what_is_forwarded(served: World, kind: str) -> None:
    for family in ("iptables", "ip6tables"):
        served.run(f"{family}-{kind}", "-P", "FORWARD", "DROP")
    assert named(served) == {"forward-policy": "fail"}
    fix(served, "forward-policy")


def test_a_firewall_of_nftables_itself(served: World) -> None:
    for family in ("inet", "ip6"):
        chain = f"{family} fw pass {{ type filter hook forward priority 0; policy drop; }}"
        served.run("nft", f"add table {family} fw; add chain {chain}")
    assert named(served) == {"forward-policy": "fail"}
    fix(served, "forward-policy")


@pytest.mark.parametrize(("base", "status"), [("PREROUTING", "fail"), ("OUTPUT", "warn")])
def test_a_foreign_rule_that_takes_a_port(served: World, base: str, status: str) -> None:
    number = next(
        line.split("--dport ")[1].split()[0] for line in served.ours() if "-j DNAT" in line and "-p tcp" in line
    )
    served.restore(f"*nat\n-I {base} 1 -p tcp -m tcp --dport {number} -j DNAT --to-destination 10.244.3.1:22\nCOMMIT\n")
    assert named(served) == {"forward-policy": status}
    fix(served, "forward-policy")


def fix(node: World, check: str) -> None:
    """Do as the check says; nothing is wrong then."""
    assert node.run("sh", "-c", str(checks(node)[check]["fix"])).returncode == 0
    assert named(node) == {}


def test_route_localnet(served: World) -> None:
    batch(f"-n {served.node}", "link add eth0.7 type veth peer name other")
    with inside(served.node):
        for device in ("all", "eth0.7", "lo"):
            Path("/proc/sys/net/ipv4/conf", device, "route_localnet").write_text("1")
    assert named(served) == {"route-localnet": "warn"}
    fix(served, "route-localnet")
    sysctl(served.node, "net.ipv4.conf.all.route_localnet", 1)
    guard = "-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -j DROP"
    served.restore(f"*filter\n:KUBE-FIREWALL - [0:0]\n{guard}\nCOMMIT\n")
    assert named(served) == {}


def test_a_range_that_connections_are_given_numbers_of(served: World) -> None:
    with inside(served.node):
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("32768 61500")
    assert named(served) == {"port-range": "warn"}
    with inside(served.node):
        Path("/proc/sys/net/ipv4/ip_local_reserved_ports").write_text("61000-62000")
    assert named(served) == {}


@pytest.mark.antrea
@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_an_antrea_agent_with_nodeportlocal_and_what_it_leaves(served: World, tmp_path: Path, family: str) -> None:
    served.restore(ANTREA, family)
    with antrea.agent(tmp_path, served.node):
        assert named(served) == {"antrea": "fail"}
    assert named(served) == {"antrea": "warn"}
    fix(served, "antrea")
    assert not any("ANTREA" in rule for rule in served.rules(family))


@pytest.mark.antrea
def test_an_antrea_agent_without_it(served: World, tmp_path: Path) -> None:
    with antrea.agent(tmp_path, served.node, config="nodePortLocal:\n  enable: false\n"):
        assert named(served) == {}
    with antrea.agent(tmp_path, served.node, config="nodePortLocal:\n  enable: true\n"):
        assert named(served) == {"antrea": "fail"}


def test_the_fix_for_a_chain_that_was_left_behind_names_the_order(served: World) -> None:
    served.restore(antrea.text(antrea.rule(61777, "10.244.3.1", 8080)))
    fix = str(checks(served)["antrea"]["fix"])
    assert fix.index("nplconf adopt") < fix.index("nplconf apply") < fix.index(f"-X {antrea.CHAIN}")


def test_a_data_plane_beside_netfilter(served: World) -> None:
    batch(f"-n {served.node}", "link add bpfin.cali type veth")
    assert named(served) == {"datapath": "fail"}


# --- ours ------------------------------------------------------------------------------------------------------------


def test_no_hold_daemon(served: World) -> None:
    assert served.daemon
    served.daemon.kill()
    served.daemon.wait()
    assert named(served) == {"hold": "fail"}


def test_a_number_that_another_program_has(node: World) -> None:
    node.write()
    with inside(node.node), socket.socket() as intruder:
        intruder.bind(("10.10.10.10", 61005))
        intruder.listen()
        node.start_hold()
        assert node.apply().code == 0
        assert named(node) == {"hold": "warn"}
        message = str(checks(node)["hold"]["message"])
    assert "61005/tcp by " in message
    assert f"[{os.getpid()}]" in message


def test_another_range_than_the_daemons(served: World) -> None:
    assert named(served, "--port-range=61000-62001") == {"hold": "fail"}


def test_no_good_run_yet_and_none_for_long(served: World) -> None:
    file = served.directory / "state" / success.FILE
    noted = json.loads(file.read_text())
    file.write_text(json.dumps(noted | {"at": noted["at"] - 600}))
    assert named(served) == {"last-success": "warn"}
    file.unlink()
    assert named(served) == {"last-success": "warn"}


@pytest.mark.parametrize(
    ("spec", "status"),
    [({"externalIPs": ["10.10.10.10"]}, {}), ({}, {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}})],
)
def test_a_service_that_takes_a_number_at_an_address_of_the_node(
    served: World, spec: dict[str, object], status: dict[str, object]
) -> None:
    thief = worlds.raw_service("thief", [(61500, 8080, "TCP")], namespace="attacker", enabled=False)
    thief["spec"] |= spec
    objects = json.loads(served.cluster.read_text())
    objects["items"].append(thief | {"status": status})
    served.cluster.write_text(json.dumps(objects))
    assert named(served) == {"service-node-ports": "fail"}
    assert "attacker/thief" in str(checks(served)["service-node-ports"]["message"])


@pytest.mark.parametrize("text", ["bogus: 1\n", "maxDelete: 101\n", "portRange: [\n", "coolDown: 1\ncoolDown: 2\n"])
def test_a_broken_config_file(served: World, text: str) -> None:
    config = served.directory / "config.yaml"
    config.write_text(text)
    assert named(served, f"--config={config}") == {"config": "fail"}
    assert str(config) in str(checks(served, f"--config={config}")["config"]["message"])


@pytest.mark.parametrize("text", ["{", "- a\n", "clusterStat: [/a]\nnode: worker-1\n", "\0"])
def test_what_a_broken_config_file_would_have_named_is_not_named_in_its_place(served: World, text: str) -> None:
    config = served.directory / "config.yaml"
    config.write_text(text)
    found = served.run(sys.executable, "-m", "nplconf", "doctor", "-o", "json", f"--config={config}")
    wrong = {c["check"] for c in json.loads(found.stdout)["checks"] if c["status"] != "ok" and seen(c)}
    assert wrong.isdisjoint({"api-rights", "service-node-ports"})
    assert "config" in wrong


def test_a_reviewed_mode_without_its_plans_is_fixed_in_the_config_file(served: World) -> None:
    config = served.directory / "config.yaml"
    config.write_text("mode: reviewed\n")
    assert checks(served, f"--config={config}")["config"]["fix"] == f"editor {config}"


def test_a_config_file_that_is_named_and_missing(served: World) -> None:
    assert named(served, "--config=/nowhere.yaml") == {"config": "fail"}


def test_metrics_for_a_directory_that_is_not_there(served: World) -> None:
    textfile = f"--textfile={served.directory}/a b/nplconf.prom"
    assert named(served, textfile) == {"config": "fail"}
    assert served.run("sh", "-c", str(checks(served, textfile)["config"]["fix"])).returncode == 0
    assert named(served, textfile) == {}


def test_a_broken_policy_and_a_plan_that_is_missing(served: World) -> None:
    policy = served.directory / "policy.yaml"
    policy.write_text("kind: Nothing\n")
    assert named(served, f"--policy={policy}") == {"config": "fail"}
    config = served.directory / "config.yaml"
    config.write_text("mode: reviewed\nplanDir: /nowhere\n")
    assert named(served, f"--config={config}") == {"config": "fail"}
    assert checks(served, f"--config={config}")["config"]["fix"] == "nplconf validate /nowhere/worker-1.yaml"


# --- the cluster -----------------------------------------------------------------------------------------------------


def test_a_service_with_a_node_port_in_the_range(served: World) -> None:
    service = worlds.raw_service("front")
    service["spec"]["ports"][0]["nodePort"] = 61500
    served.write(service)
    assert named(served) == {"service-node-ports": "fail"}


def test_a_cluster_that_cannot_be_read(served: World) -> None:
    served.cluster.unlink()
    assert named(served) == {"api-rights": "fail"}
    assert str(checks(served)["api-rights"]["fix"]).endswith(f">{served.cluster}")
    served.cluster.write_text("{")
    assert named(served) == {"api-rights": "fail"}


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o704, 0o720])
def test_a_state_directory_that_other_users_can_open(served: World, mode: int) -> None:
    (served.directory / "state").chmod(mode)
    done = served.apply()
    assert "blocks every run. Fix: chown root:" in done.stderr
    assert named(served) == {"state-dir": "fail"}
    fix(served, "state-dir")
    assert "blocks every run" not in served.apply().stderr


def test_a_state_directory_of_another_user(served: World) -> None:
    os.chown(served.directory / "state", 65534, 65534)
    assert named(served) == {"state-dir": "fail"}
    assert "belongs to user 65534" in str(checks(served)["state-dir"]["message"])
    fix(served, "state-dir")


def test_a_name_that_no_node_has_is_fixed_by_the_closest_one(served: World) -> None:
    config = served.directory / "config.yaml"
    config.write_text("node: worker1\n")
    options = [option for option in served._options() if option not in ("--node", "worker-1")]
    argv = (sys.executable, "-m", "nplconf", "doctor", "-o", "json", *options, f"--config={config}")

    def found() -> dict[str, str | None]:
        published = json.loads(served.run(*argv).stdout)["checks"]
        return next(check for check in published if check["check"] == "node-name")

    assert (found()["status"], "Closest names: worker-1." in str(found()["message"])) == ("fail", True)
    assert served.run("sh", "-c", str(found()["fix"])).returncode == 0
    assert found()["status"] == "ok"
