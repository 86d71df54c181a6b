"""The data planes that bypass netfilter."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from netns import batch, inside, spaces

from nplconf.errors import BadConfigError
from nplconf.node import datapath
from nplconf.node.datapath import Datapath

pytestmark = pytest.mark.kernel


@pytest.fixture
def space() -> Iterator[str]:
    with spaces() as made:
        yield made.add("node")


def device(space: str, name: str) -> None:
    batch(f"-n {space}", f"link add {name} type veth")


def wrote(directory: Path, name: str, text: str) -> None:
    (directory / name).parent.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(text)


def test_a_usual_node_has_none(space: str, tmp_path: Path) -> None:
    wrote(tmp_path, "agent-runtime-config.json", '{"EnableHostLegacyRouting": false}')
    with inside(space):
        assert datapath.found(tmp_path) is None
        datapath.refuse_bypass()


def test_calico_in_ebpf_mode_is_known_by_its_device(space: str) -> None:
    device(space, "bpfin.cali")
    with inside(space):
        assert datapath.found() == Datapath("Calico's eBPF data plane", bypasses=True)
        with pytest.raises(BadConfigError, match="past netfilter"):
            datapath.refuse_bypass()


@pytest.mark.parametrize(
    ("name", "text", "bypasses"),
    [
        ("agent-runtime-config.json", '{"A": 1, "EnableHostLegacyRouting": false}', True),
        ("agent-runtime-config.json", '{"Unsafe": {"EnableHostLegacyRouting":true}}', False),
        ("globals/node_config.h", "#define ENABLE_IPV4 1\n#define ENABLE_HOST_ROUTING 1\n", True),
        ("globals/node_config.h", "#define ENABLE_IPV4 1\n// #define ENABLE_HOST_ROUTING 1\n", False),
        ("something-else", "", None),
    ],
)
def test_cilium_bypasses_where_its_agent_says_so(
    space: str, tmp_path: Path, name: str, text: str, *, bypasses: bool | None
) -> None:
    device(space, "cilium_host")
    wrote(tmp_path, name, text)
    with inside(space):
        assert datapath.found(tmp_path) == Datapath("Cilium's eBPF host routing", bypasses)


def test_looking_for_a_bypass_takes_microseconds() -> None:
    import timeit

    assert min(timeit.repeat(datapath.refuse_bypass, number=100, repeat=5)) < 0.01


def test_devices_are_read_from_the_network_namespace_and_not_from_sys(space: str) -> None:
    device(space, "bpfin.cali")
    assert subprocess.run(["ip", "link", "show", "bpfin.cali"], capture_output=True, check=False).returncode != 0
    assert datapath.found() is None
