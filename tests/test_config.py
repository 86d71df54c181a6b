"""The config file."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from nplconf.config import KEYS, check, from_text, parse, read, salvage
from nplconf.errors import BadConfigError
from nplconf.files import schema
from nplconf.model import PortRange
from nplconf.values import port_range

BACKENDS = "auto, iptables-nft, iptables-legacy, nftables, nft, legacy"

SCHEMA = json.loads(schema.text("config"))
FULL = """\
portRange: 61000-62000
clusterState: [a.yaml, "-"]
writeBack: a.yaml
holdSocket: /run/nplconf/hold.sock
noHold: false
nodeIPs: {IPv4: 203.0.113.7, IPv6: "2001:db8::7"}
mode: reviewed
planDir: /srv/plans
maxDelete: 50
coolDown: 0
backend: nft
"""


def refused(text: str) -> str:
    with pytest.raises(BadConfigError) as raised:
        parse(text, "/etc/nplconf/config.yaml")
    message = str(raised.value)
    assert message.startswith("/etc/nplconf/config.yaml: line ")
    assert message.isprintable()
    assert raised.value.exit_code == 78
    return message.removeprefix("/etc/nplconf/config.yaml: ")


def test_options_are_read_as_the_values_that_commands_work_with(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(FULL)
    assert read(str(tmp_path / "config.yaml")) == {
        "portRange": PortRange(61000, 62000),
        "clusterState": ("a.yaml", "-"),
        "writeBack": "a.yaml",
        "holdSocket": "/run/nplconf/hold.sock",
        "noHold": False,
        "nodeIPs": {"IPv4": "203.0.113.7", "IPv6": "2001:db8::7"},
        "mode": "reviewed",
        "planDir": "/srv/plans",
        "maxDelete": 50,
        "coolDown": 0,
        "backend": "iptables-nft",
    }


@pytest.mark.parametrize("text", ["", "# nothing set\n", "---\n", "{}", "null"])
def test_an_empty_file_sets_nothing(text: str) -> None:
    assert parse(text, "f") == {}


def test_a_missing_file_sets_nothing_unless_it_was_asked_for(tmp_path: Path) -> None:
    path = str(tmp_path / "no.yaml")
    assert read(path, required=False) == {}
    with pytest.raises(BadConfigError, match=r"no\.yaml: no such file"):
        read(path)


def test_the_default_config_file_is_an_error_if_it_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadConfigError, match="directory"):
        read(str(tmp_path), required=False)
    (tmp_path / "large").write_text("#" * (1024 * 1024 + 1))
    with pytest.raises(BadConfigError, match="larger than"):
        read(str(tmp_path / "large"), required=False)


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("a: 1", "line 1: a: unknown key; known are node, "),
        ("node: a\nstate-dir: b", "line 2: state-dir: unknown key; did you mean stateDir?"),
        ("nodeIps: {}", "line 1: nodeIps: unknown key; did you mean nodeIPs?"),
        ("nohold: true", "line 1: nohold: unknown key; did you mean noHold?"),
        (
            "backend: nfs",
            f'line 1: backend: must be one of {BACKENDS}, not "nfs"; did',
        ),
        ("node: a\nnode: a", 'line 2: node: the key "node" is there already'),
        ("node: a\nnoHold: yes", 'line 2: noHold: must be true or false, not "yes"'),
        ("noHold: 1", "line 1: noHold: must be true or false, not 1"),
        ("node: null", "line 1: node: must be a text, not null"),
        ("node: ''", 'line 1: node: must be a text, not ""'),
        ('stateDir: "a\\nb"', r'line 1: stateDir: must be a text, not "a\nb"'),
        ("clusterState: a", 'line 1: clusterState: must be a list of texts, not "a"'),
        ("clusterState: []", "line 1: clusterState: must be a list of texts, not a list"),
        ("clusterState: [a, 1]", "line 1: clusterState: must be a text, not 1"),
        ("maxDelete: 101", "line 1: maxDelete: must be an integer from 0 to 100, not 101"),
        ("maxDelete: 050", 'line 1: maxDelete: must be an integer from 0 to 100, not "050"'),
        ("maxDelete: true", "line 1: maxDelete: must be an integer from 0 to 100, not true"),
        ("coolDown: -1", "line 1: coolDown: must be an integer from 0 to 2147483647, not -1"),
        (
            "backend: iptables",
            f'line 1: backend: must be one of {BACKENDS}, not "iptables"',
        ),
        ("mode: []", "line 1: mode: must be one of auto, reviewed, not a list"),
        ("portRange: 61000", "line 1: portRange: must be FIRST-LAST such as 61000-62000, not 61000"),
        ("portRange: {first: 1, last: 2}", "line 1: portRange: must be FIRST-LAST such as 61000-62000, not a mapping"),
        ("portRange: 62000-61000", "line 1: portRange: must be two numbers from 1 to 65535, "),
        ("portRange: 61000-65536", "line 1: portRange: must be two numbers from 1 to 65535, "),
        ("nodeIPs: 10.0.0.1", "line 1: nodeIPs: must be a mapping such as "),
        ("nodeIPs: {IPv4: [10.0.0.1]}", "line 1: nodeIPs: must be a mapping such as "),
        ("nodeIPs: {IPv4: InternalIp}", 'line 1: nodeIPs: "InternalIp" is no IP address'),
        ("nodeIPs: {IPv4: InternalIP|10.0.0.1}", 'line 1: nodeIPs: "10.0.0.1" is not a network, and not one of '),
        ("nodeIPs: {IPv4: 10.0.0.1/8}", 'line 1: nodeIPs: "10.0.0.1/8" has host bits; the network is 10.0.0.0/8'),
        ("nodeIPs: {IPv4: fd00::/64}", 'line 1: nodeIPs: "fd00::/64" is not an IPv4 network'),
        ("nodeIPs: {ipv4: 10.0.0.1}", 'line 1: nodeIPs: unknown family "ipv4"; known are IPv4, IPv6'),
        ("nodeIPs: {IPv4: 127.0.0.1}", 'line 1: nodeIPs: "127.0.0.1" is a loopback address'),
        ("nodeIPs: {IPv6: 10.0.0.1}", 'line 1: nodeIPs: "10.0.0.1" is not an IPv6 address'),
        ("- node", "line 1: must be a mapping, not a list"),
        ("node", 'line 1: must be a mapping, not "node"'),
        ("node: &a x", "line 1: node: anchors are not allowed"),
        ("node: [", "line 2: while parsing a flow node: "),
        ("? [node]\n: x", "line 1: a mapping or list cannot be a key"),
        ("node: a\n---\nnode: b", "line 2: a second document begins"),
        ("node: [[[[a]]]]", "line 1: nested deeper than 4 levels"),
        (f"clusterState: [{'a,' * 10_000}]", "line 1: more than 10000 values"),
    ],
)
def test_what_is_wrong_is_reported_with_file_line_and_key(text: str, output: str) -> None:
    assert refused(text).startswith(output)


def test_everything_that_is_wrong_is_reported_on_one_line_in_the_order_of_the_file() -> None:
    output = refused("noHold: 1\nnode: a\nnode: b\nbackend: x\n").split("; ")
    assert [part.split(":")[0:2] for part in output] == [
        ["line 1", " noHold"],
        ["line 3", " node"],
        ["line 4", " backend"],
    ]


def test_of_many_faults_the_first_ten_are_reported_and_the_others_counted() -> None:
    output = refused("clusterState: [a]\n" + "".join(f"maxDelete{number}: 1\n" for number in range(25)))
    assert output.count("unknown key") == 10
    assert output.endswith("; 15 more")
    assert "more" not in refused("".join(f"maxDelete{number}: 1\n" for number in range(10)))


def test_the_name_of_a_file_is_printable_in_messages() -> None:
    with pytest.raises(BadConfigError) as raised:
        parse("a: 1", "/tmp/a\x1b[2J\nb")
    assert str(raised.value).isprintable()


def test_what_is_right_in_a_broken_file_is_salvaged(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("node: worker-1\nbackend: x\nbogus: 1\nstateDir: /s\nstateDir: /t\n")
    assert salvage(str(tmp_path / "config.yaml"))["node"] == "worker-1"
    assert "backend" not in salvage(str(tmp_path / "config.yaml"))
    assert salvage(str(tmp_path / "no.yaml")) == salvage(str(tmp_path)) == {}


# --- the table and the schema ----------------------------------------------------------------------------------------


def test_the_table_and_the_schema_have_the_same_keys_in_the_same_order() -> None:
    assert list(KEYS) == list(SCHEMA["properties"])


_values: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 105),
    st.sampled_from(
        [2**31 - 1, 2**31, "", "a", "a\n", "\x9b", "61000-62000", "61000-62000\n", "0-5", "061-62", "1-2-3", "123456-1"]
    ),
    st.sampled_from([word for part in SCHEMA["properties"].values() for word in part.get("enum", ())]),
    st.lists(st.sampled_from(["a", "", "b\n", 1, None]), max_size=2),
    st.dictionaries(
        st.sampled_from(["IPv4", "IPv6", "ipv4"]),
        st.sampled_from(["203.0.113.7", "2001:db8::7", "x", "", 1, "203.0.113.7\n"]),
    ),
    st.text(max_size=5),
)


@given(st.sampled_from(list(KEYS)), _values)
def test_the_table_takes_what_the_schema_takes(key: str, value: Any) -> None:
    conforms = Draft202012Validator(SCHEMA).is_valid({key: value})
    try:
        check(key, value)
    except ValueError:
        # Two things no schema can say: the ends of a range, and which dotted or coloned texts are addresses.
        assert not conforms or key in ("portRange", "nodeIPs")
    else:
        assert conforms


@pytest.mark.parametrize(
    ("key", "good"),
    [
        ("portRange", ["1-1", "61000-62000", "1-65535"]),
        (
            "nodeIPs",
            [
                {},
                {"IPv4": "10.0.0.1"},
                {"IPv6": "fd00::1"},
                {"IPv4": "10.0.0.0/8|Hostname"},
                {"IPv6": ["ExternalIP", "fd00::/8"]},
            ],
        ),
    ],
)
def test_the_table_and_the_schema_both_take_what_is_right(key: str, good: list[Any]) -> None:
    for value in good:
        check(key, value)
        assert Draft202012Validator(SCHEMA).is_valid({key: value})


def test_every_word_of_the_schema_is_taken() -> None:
    words = [(key, word) for key, part in SCHEMA["properties"].items() for word in part.get("enum", ())]
    aliases = {"nft": "iptables-nft", "legacy": "iptables-legacy", "IPv6,IPv4": "IPv4,IPv6"}
    assert [check(key, word) for key, word in words] == [aliases.get(word, word) for _, word in words]
    assert len(words) >= 14


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("node", "worker-1", "worker-1"),
        ("node", "5", "5"),
        ("maxDelete", "30", 30),
        ("maxDelete", "0", 0),
        ("maxDelete", "100", 100),
        ("noHold", "true", True),
        ("noHold", "1", True),
        ("noHold", "false", False),
        ("noHold", "0", False),
        ("clusterState", "f.yaml", ("f.yaml",)),
        ("portRange", "61000-61000", PortRange(61000, 61000)),
    ],
)
def test_an_environment_variable_is_read_as_the_same_values(key: str, text: str, value: object) -> None:
    assert from_text(key, text) == value


@pytest.mark.parametrize(
    ("key", "text"),
    [("node", ""), ("maxDelete", "050"), ("maxDelete", "5%"), ("noHold", "yes"), ("portRange", "61000"), ("mode", "")],
)
def test_an_environment_variable_that_is_wrong_is_a_value_error(key: str, text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        from_text(key, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "61000",
        "61000-",
        "-62000",
        "61000 - 62000",
        "61000-62000\n",
        "0-1",
        "01-2",
        "2-1",
        "1-65536",
        "\u0666-\u0667",
    ],
)
def test_a_range_is_two_decimal_numbers_in_order(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        port_range(text)


@given(st.text(max_size=40) | st.text(alphabet="\n:-[]{} nodeXa1&*", max_size=60))
def test_any_invalid_text_raises_bad_config(text: str) -> None:
    with contextlib.suppress(BadConfigError):
        assert set(parse(text, "f")) <= set(KEYS)
