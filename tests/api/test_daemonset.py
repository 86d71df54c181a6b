"""The manifests of the DaemonSet: a real API server accepts them, and they grant only the needed permissions."""

import json
from pathlib import Path

import kube
import manifests
import pytest
import yaml
from manifests import OVERLAYS, container, daemonset, objects

from nplconf import config

pytestmark = pytest.mark.api
PATHS = {
    "DaemonSet": "/apis/apps/v1/namespaces/nplconf/daemonsets",
    "ConfigMap": "/api/v1/namespaces/nplconf/configmaps",
    "Job": "/apis/batch/v1/namespaces/nplconf/jobs",
    "Pod": "/api/v1/namespaces/nplconf/pods",
}
STRICT = "?dryRun=All&fieldValidation=Strict"
COMPONENTS = ("hold", "watch")


@pytest.mark.parametrize("directory", OVERLAYS)
def test_the_server_accepts_every_object_and_its_pods(plane: kube.ControlPlane, directory: str) -> None:
    accepted = [found for found in objects(directory) if found["kind"] in PATHS]
    for found in accepted:
        plane.ok("POST", PATHS[found["kind"]] + STRICT, found)
        if found["kind"] == "DaemonSet":
            template = found["spec"]["template"]
            pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]}
            plane.ok("POST", PATHS["Pod"] + STRICT, pod | {"metadata": template["metadata"] | {"generateName": "x-"}})
    assert sorted(found["kind"] for found in accepted) == ["ConfigMap", "DaemonSet", "DaemonSet"]


def test_the_server_accepts_the_job_that_cleans_up(plane: kube.ControlPlane) -> None:
    job = manifests.cleanup_job("worker-1", "localhost/nplconf:1")
    plane.ok("POST", PATHS["Job"] + STRICT, job)
    spec = job["spec"]["template"]["spec"]
    assert (spec["nodeName"], spec["containers"][0]["image"]) == ("worker-1", "localhost/nplconf:1")
    assert spec["containers"][0]["args"] == ["cleanup"]


def test_the_rights_are_the_files_beside_it() -> None:
    directory = manifests.DAEMONSET.parent
    for name in ("rbac.yaml", "policies.yaml"):
        (directory / name).resolve().relative_to(manifests.DAEMONSET)
        for raw in yaml.safe_load_all((directory / name).read_text()):
            assert plain(raw) in map(plain, objects("base", raw["kind"]))


def plain(raw: object) -> str:
    """An object as text, without line breaks: kustomize folds an expression differently."""
    return " ".join(json.dumps(raw, sort_keys=True).replace("\\n", " ").split())


@pytest.mark.parametrize("directory", OVERLAYS)
def test_no_container_may_do_more_than_it_needs(directory: str) -> None:
    wanted = {"hold": [], "watch": ["NET_ADMIN", "NET_RAW"], "git-sync": []}
    if directory == "overlays/nftables":
        wanted["watch"] = ["NET_ADMIN"]
    for spec in (daemonset(directory, component)["spec"]["template"]["spec"] for component in COMPONENTS):
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for one in spec["containers"]:
            context = one["securityContext"]
            assert context["capabilities"]["drop"] == ["ALL"]
            assert context["capabilities"].get("add", []) == wanted[one["name"]]
            assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (True, False)
            assert "privileged" not in context
    assert daemonset(directory, "hold")["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("directory", OVERLAYS)
def test_a_new_hold_pod_is_there_before_the_old_one_ends(directory: str) -> None:
    found = daemonset(directory, "hold")["spec"]
    assert found["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == 0
    hold = container(directory, "hold")
    assert "ports" not in hold  # they would be host ports, and no second Pod could be scheduled
    assert hold["args"][:2] == ["hold", "--keep"]
    (ready,) = (argument.partition("=")[2] for argument in hold["args"] if argument.startswith("--ready-file="))
    assert ready in hold["readinessProbe"]["exec"]["command"][2]
    assert daemonset(directory, "watch")["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": "10%"}


@pytest.mark.parametrize("directory", OVERLAYS)
@pytest.mark.parametrize("component", COMPONENTS)
def test_it_runs_on_every_node_and_is_evicted_last(directory: str, component: str) -> None:
    spec = daemonset(directory, component)["spec"]["template"]["spec"]
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert (spec["hostNetwork"], spec["priorityClassName"]) == (True, "system-node-critical")


@pytest.mark.parametrize("directory", OVERLAYS)
def test_both_containers_are_one_image_and_meet_at_one_socket(directory: str) -> None:
    assert container(directory, "hold")["image"] == container(directory, "watch")["image"]
    for component in COMPONENTS:
        mounts = {mount["name"]: mount["mountPath"] for mount in container(directory, component)["volumeMounts"]}
        volumes = {one["name"]: one for one in daemonset(directory, component)["spec"]["template"]["spec"]["volumes"]}
        assert mounts.keys() <= volumes.keys()
        assert (mounts["run"], volumes["run"]["hostPath"]["path"]) == ("/run/nplconf", "/run/nplconf")
        assert mounts["config"] == "/etc/nplconf"


@pytest.mark.parametrize("directory", OVERLAYS)
def test_the_probes_ask_where_watch_listens(directory: str) -> None:
    watch = container(directory, "watch")
    host, port = watch["args"][1].removeprefix("--listen=").split(":")
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        http = watch[probe]["httpGet"]
        assert (http["path"], str(http["port"])) == (path, port)
        assert http.get("host", "$(HOST_IP)") == host  # without one the kubelet asks at the Pod's address: the node's


@pytest.mark.parametrize("directory", OVERLAYS)
def test_the_configuration_is_valid(directory: str, tmp_path: Path) -> None:
    (found,) = objects(directory, "ConfigMap")
    (tmp_path / "config.yaml").write_text(found["data"]["config.yaml"])
    assert config.read(str(tmp_path / "config.yaml"))


def test_prometheus_finds_the_port() -> None:
    (monitor,) = objects("overlays/metrics", "PodMonitor")
    labels = daemonset("overlays/metrics", "watch")["spec"]["template"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in [port["name"] for port in container("overlays/metrics", "watch")["ports"]]


def test_reviewed_plans_are_read_where_git_sync_puts_them() -> None:
    (found,) = objects("overlays/reviewed", "ConfigMap")
    settings = yaml.safe_load(found["data"]["config.yaml"])
    assert settings["mode"] == "reviewed"
    for name in ("watch", "git-sync"):
        containers = daemonset("overlays/reviewed", "watch")["spec"]["template"]["spec"]["containers"]
        one = next(one for one in containers if one["name"] == name)
        assert any(settings["planDir"].startswith(mount["mountPath"]) for mount in one["volumeMounts"])


def test_nothing_of_iptables_is_mounted_for_nftables() -> None:
    assert "xtables" not in manifests.built("overlays/nftables")
    assert {"name": "NPLCONF_BACKEND", "value": "nftables"} in container("overlays/nftables", "watch")["env"]
