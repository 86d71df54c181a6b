"""Units and configuration files of the programs on a real node (see kubenode.py): pure text."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import kube
import yaml

CONFIG = "/etc/kubernetes"
"""The directory of the control plane and of all credentials, in the machine."""
IMAGE = "localhost/busybox:1"
NODE = "worker-1"
NODE_IPS = ("10.10.10.10", "fd00:10::10")
POD_SUBNETS = ("10.244.3.0/24", "fd00:244:3::/64")
KUBELET_USER = f"system:node:{NODE}"
USERS = {
    kube.ADMIN: "system:masters",
    KUBELET_USER: "system:nodes",
    "system:kube-controller-manager": "system:authenticated",
    "system:kube-scheduler": "system:authenticated",
    "system:kube-proxy": "system:authenticated",
}
"""User -> group."""
KUBECONFIGS = {
    "admin": kube.ADMIN,
    "kubelet": KUBELET_USER,
    "manager": "system:kube-controller-manager",
    "scheduler": "system:kube-scheduler",
    "proxy": "system:kube-proxy",
}
CONTAINERD = f"""version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper"]
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{IMAGE}"
disable_apparmor = true
restrict_oom_score_adj = true  # a machine without CAP_SYS_RESOURCE cannot lower a score
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "/etc/cni/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""


def unit(command: Sequence[str]) -> str:
    """Return a unit that is restarted whenever it ends; its children (containers) survive it."""
    service = ["Restart=always", "RestartSec=500ms", "KillMode=process", "Delegate=yes", "TimeoutStopSec=10s"]
    start = f"ExecStart={' '.join(command)}"
    return "\n".join(("[Unit]", "StartLimitIntervalSec=0", "[Service]", start, *service, ""))


def units(programs: Path, etcd: Path) -> dict[str, str]:
    """Return the text of each unit: name -> text. programs: the directory with the Kubernetes programs."""
    commands = {
        "etcd": [str(etcd), *kube.etcd_options(Path(CONFIG), 2379, 2380)],
        "kube-apiserver": [str(programs / "kube-apiserver"), *_apiserver()],
        "kube-controller-manager": [str(programs / "kube-controller-manager"), *_controllers()],
        "kube-scheduler": [str(programs / "kube-scheduler"), *_kubeconfig("scheduler"), "--leader-elect=false"],
        "kubelet": [str(programs / "kubelet"), *_kubeconfig("kubelet"), *_kubelet()],
        "kube-proxy": [str(programs / "kube-proxy"), f"--config={CONFIG}/proxy.yaml"],
    }
    return {name: unit(command) for name, command in commands.items()}


def _kubeconfig(name: str) -> list[str]:
    return [f"--kubeconfig={CONFIG}/{name}.kubeconfig"]


def _apiserver() -> list[str]:
    options = kube.apiserver_options(Path(CONFIG), NODE_IPS[0], 6443, 2379)
    controllers_run = [option for option in options if not option.startswith("--disable-admission-plugins")]
    return [*controllers_run, "--kubelet-preferred-address-types=InternalIP"]


def _controllers() -> list[str]:
    return [
        *_kubeconfig("manager"),
        f"--service-account-private-key-file={CONFIG}/sa.key",
        f"--root-ca-file={CONFIG}/pki/apiserver.crt",
        "--use-service-account-credentials",
        "--leader-elect=false",
    ]


def _kubelet() -> list[str]:
    return [f"--config={CONFIG}/kubelet.yaml", f"--hostname-override={NODE}", f"--node-ip={','.join(NODE_IPS)}"]


def kubelet() -> str:
    """Return the kubelet's configuration: it accepts this machine's cgroups, and evicts nothing for its full disk."""
    signals = ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available")
    config = {
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},  # only the API server reaches it
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "evictionHard": dict.fromkeys(signals, "0%"),
        "imageGCHighThresholdPercent": 100,
        "resolvConf": "",
        "syncFrequency": "5s",
    }
    return _document("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration", config)


def kube_proxy(mode: str) -> str:
    """Return kube-proxy's configuration. mode: "iptables" or "nftables"."""
    config = {
        "mode": mode,
        "hostnameOverride": NODE,
        "clientConnection": {"kubeconfig": f"{CONFIG}/proxy.kubeconfig"},
        "clusterCIDR": ",".join(POD_SUBNETS),
        # these sysctls belong to the host
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    return _document("kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration", config)


def cni() -> str:
    """Return the network of Pods: a bridge with addresses of both families."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": subnet}] for subnet in POD_SUBNETS],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        },
    }
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]})


def _document(version: str, kind: str, fields: Mapping[str, Any]) -> str:
    return yaml.safe_dump({"apiVersion": version, "kind": kind, **fields})
