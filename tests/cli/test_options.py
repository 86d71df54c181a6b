"""The sources of an option's value, and their precedence."""

import itertools
import socket
from pathlib import Path
from typing import Any

import pytest

from nplconf import config
from nplconf.cli import options
from nplconf.cli.main import main
from nplconf.errors import BadConfigError, UsageError
from nplconf.model import PortRange
from nplconf.settings import Settings


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return str(path)


def test_a_flag_comes_before_the_environment_before_the_file_before_the_default(tmp_path: Path) -> None:
    file = write(tmp_path, "stateDir: /file\nholdSocket: /file.sock\nmaxDelete: 10\n")
    environment = {"NPLCONF_STATE_DIR": "/environment", "NPLCONF_HOLD_SOCKET": "/environment.sock"}
    found = options.resolve({"config": file, "state_dir": "/flag"}, environment)
    assert (found.state_dir, found.hold_socket, found.max_delete) == ("/flag", "/environment.sock", 10)
    assert found.cool_down == Settings(node="x").cool_down


def test_the_node_is_the_one_of_the_environment_else_the_host() -> None:
    assert options.resolve({}, {"NODE_NAME": "worker-9"}).node == "worker-9"
    assert options.resolve({"node": "worker-1"}, {"NODE_NAME": "worker-9"}).node == "worker-1"
    assert options.resolve({}, {}).node


def test_values_are_parsed_wherever_they_come_from(tmp_path: Path) -> None:
    file = write(tmp_path, "portRange: 61000-61009\nclusterState: [a.yaml, b.yaml]\nnodeIPs: {IPv4: 203.0.113.7}\n")
    found = options.resolve({"config": file}, {"NPLCONF_NO_HOLD": "true"})
    assert found.port_range == PortRange(61000, 61009)
    assert found.cluster_state == ("a.yaml", "b.yaml")
    assert found.node_ips == {"IPv4": "203.0.113.7"}
    assert found.no_hold


@pytest.mark.parametrize(
    "given",
    [
        {"port_range": "9-8"},
        {"max_delete": "101"},
        {"backend": "ebtables"},
        {"cool_down": "-1"},
        {"resync": "0"},
        {"listen": "127.0.0.1"},
        {"listen": "::1:80"},
        {"listen": "h:65536"},
        {"listen": "h:0"},
        {"listen": "h:1\n"},
    ],
)
def test_a_bad_flag_is_a_usage_error_that_names_it(given: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="--" + next(iter(given)).replace("_", "-")):
        options.resolve(given, {})


def test_a_bad_variable_is_a_configuration_error_that_names_it() -> None:
    with pytest.raises(BadConfigError, match="NPLCONF_MAX_DELETE"):
        options.resolve({}, {"NPLCONF_MAX_DELETE": "many"})


def test_a_config_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadConfigError, match=r"missing\.yaml"):
        options.resolve({"config": str(tmp_path / "missing.yaml")}, {})


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["plan", "--nope"], 64), (["nope"], 64), ([], 64), (["plan", "--port-range", "x"], 64),
        (["validate"], 64), (["schema", "nope"], 64), (["plan", "--config", "/missing"], 78),
        (["validate", "/missing.yaml"], 65), (["render", "--cluster-state", "/missing.yaml"], 65),
    ],
)  # fmt: skip
def test_exit_codes_name_who_must_act(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == code
    assert capsys.readouterr().err or words[0] == "validate"


def test_every_option_follows_the_precedence(tmp_path: Path) -> None:
    values = {
        "portRange": ("1-2", "3-4", "5-6"),
        "backend": ("nft", "iptables-legacy", "auto"),
        "listen": ("127.0.0.1:1", "[::1]:2", "localhost:3"),
    }
    for option in (option for option in options.OPTIONS if option.key):
        kind = option.kind
        numbers = ("1", "2", "3") if kind.metavar in ("PERCENT", "SECONDS") else ("a", "b", "c")
        choices: Any = kind.schema.get("enum", numbers)
        words = tuple(itertools.islice(itertools.cycle(choices), 3))
        flag, variable, key = values.get(option.key, words) if kind.metavar else (True, "false", "true")
        file = write(tmp_path, f"{option.key}: {f'[{key}]' if kind.schema.get('type') == 'array' else key}\n")
        given = {"config": file, option.name: [flag] if kind.many else flag}
        environment = {option.variable: variable}
        found = [
            getattr(options.resolve(*sources), option.name)
            for sources in ((given, environment), ({"config": file}, environment), ({"config": file}, {}))
        ]
        texts = ("true" if flag is True else flag, variable, key)
        wanted = [config.from_text(option.key, text) for text in texts]
        assert found == wanted, option.flag


def test_an_empty_config_file_name_is_no_default() -> None:
    with pytest.raises(UsageError, match="--config"):
        options.resolve({"config": ""}, {})


@pytest.mark.parametrize("hostname", ["AKS-Pool1-VMSS00000A", "aks-pool1-vmss00000a.", "aks-pool1-vmss00000a"])
def test_the_host_name_becomes_the_name_that_the_kubelet_registers(
    monkeypatch: pytest.MonkeyPatch, hostname: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: hostname)
    found = options.without_config({}, {})
    assert (found.node, found.node_origin) == ("aks-pool1-vmss00000a", "the host name")
    assert options.without_config({}, {"NODE_NAME": "W-1"}).node_origin == "$NODE_NAME"
    assert options.without_config({"node": "W-1"}, {"NODE_NAME": "x"}).node == "W-1"
    assert options.without_config({"node": "W-1"}, {}).node_origin == ""
