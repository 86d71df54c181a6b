"""The owner tag on a rule."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nplconf.model import PodRef
from nplconf.rules.owner import LONGEST, SAFE, Owner, hashed, parse, tag, too_long

UID = "0b7d4c1e-5d43-4a53-8a3c-1f2e3d4c5b6a"
NAMES = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
PODS = st.builds(PodRef, NAMES, NAMES, st.uuids().map(str))


def test_a_tag_names_pod_port_and_uid() -> None:
    assert tag(PodRef("shop", "web-0", UID), 8080) == f"nplconf:shop/web-0:8080:{UID}"


@given(pod=PODS, port=st.integers(1, 65535))
def test_the_owner_is_read_back_unless_the_tag_is_a_hash(pod: PodRef, port: int) -> None:
    made = tag(pod, port)
    assert hashed(made) is too_long(pod, port)
    assert parse(made) == (None if hashed(made) else Owner(pod.key, pod.uid, port))


@given(pod=PODS, port=st.integers(1, 65535), other=PODS)
def test_two_pods_have_two_tags(pod: PodRef, port: int, other: PodRef) -> None:
    assert (tag(pod, port) == tag(other, port)) is (pod == other)


@pytest.mark.parametrize("length", [50, 100, 253])
def test_a_tag_is_never_longer_than_every_backend_accepts(length: int) -> None:
    assert len(tag(PodRef("shop", "p" * length, UID), 8080)) <= LONGEST


def test_the_longest_tag_still_names_its_owner() -> None:
    room = LONGEST - len(tag(PodRef("shop", "", UID), 8080))
    longest, longer = (PodRef("shop", "p" * length, UID) for length in (room, room + 1))
    assert parse(tag(longest, 8080)) == Owner(longest.key, UID, 8080)
    assert parse(tag(longer, 8080)) is None


def test_a_tag_that_would_be_too_long_is_a_hash_that_still_distinguishes_pods() -> None:
    long = "p" * 253
    one, two = (tag(PodRef("shop", long, uid), 8080) for uid in ("u1", "u2"))
    assert one != two
    assert re.fullmatch(r"nplconf:#[0-9a-f]{64}", one)
    assert parse(one) is None


@given(pod=PODS, port=st.integers(1, 65535))
def test_a_tag_has_only_characters_that_iptables_leaves_alone(pod: PodRef, port: int) -> None:
    assert re.fullmatch(f"{SAFE}+", tag(pod, port))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nplconf:",
        "nplconf:shop/web-0",
        f"nplconf:shop/web-0:8080:{UID}\n",
        f"nplconf:shop/web-0:8080:{UID} ",
        f"nplconf:shop:8080:{UID}",
        "nplconf:shop/web-0:8080:",
        f"other:shop/web-0:8080:{UID}",
        "nplconf:#abc",
    ],
)
def test_a_cut_or_forged_tag_has_no_owner(text: str) -> None:
    assert parse(text) is None
