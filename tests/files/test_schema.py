"""The published schemas."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from plans import REASONS

from nplconf.files import schema
from nplconf.plan.document import SCHEMA_URL

CHECKOUT = Path(__file__).parents[2] / "schemas"
NAMES: tuple[schema.Name, ...] = ("plan", "config", "policy")


def parts(part: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every subschema with its place."""
    yield path, part
    for key, inner in part.get("properties", {}).items():
        yield from parts(inner, f"{path}.{key}")
    if "items" in part:
        yield from parts(part["items"], f"{path}[]")


ALL = [(name, *found) for name in NAMES for found in parts(json.loads(schema.text(name)))]


@pytest.mark.parametrize("name", NAMES)
def test_the_package_ships_the_file_of_the_checkout_and_it_is_a_schema(name: schema.Name) -> None:
    assert schema.text(name) == (CHECKOUT / f"{name}.schema.json").read_text("utf-8")
    data = json.loads(schema.text(name))
    Draft202012Validator.check_schema(data)
    assert data["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert data["$id"] == f"https://nplconf.io/schemas/v1alpha1/{name}.schema.json"


def test_a_plan_names_the_id_of_its_schema() -> None:
    assert json.loads(schema.text("plan"))["$id"] == SCHEMA_URL


@pytest.mark.parametrize(("name", "path", "part"), ALL)
def test_every_part_explains_itself_and_is_closed(name: str, path: str, part: dict[str, Any]) -> None:
    assert part["title"], (name, path)
    assert part["description"], (name, path)
    assert ("properties" in part) == ("additionalProperties" in part)
    assert part.get("additionalProperties", False) is False
    assert part.keys() & {"type", "const", "anyOf", "oneOf"}


@pytest.mark.parametrize(("name", "path", "part"), [entry for entry in ALL if "pattern" in entry[2]])
def test_no_pattern_takes_a_trailing_newline_or_is_python_only(name: str, path: str, part: dict[str, Any]) -> None:
    examples = ("a", "a/b", "10.0.0.1", "fd00::1", "10.0.0.0/8", "61000-62000", "team-x", "127.0.0.1:9781")
    taken = [example for example in examples if re.search(part["pattern"], example)]
    assert taken, (name, path)
    for example in taken:
        for wrong in (f"{example}\n", f"\n{example}", f"{example}\n\n", f"{example}\nx"):
            assert not re.search(part["pattern"], wrong)
    assert "\\Z" not in part["pattern"]
    assert "(?P" not in part["pattern"]


@pytest.mark.parametrize(("name", "path", "part"), [entry for entry in ALL if entry[2].get("type") == "integer"])
def test_every_number_has_its_bounds(name: str, path: str, part: dict[str, Any]) -> None:
    assert part["minimum"] < part["maximum"], (name, path)


def test_the_reasons_of_skipped_are_those_of_the_public_interface() -> None:
    (part,) = (part for name, path, part in ALL if (name, path) == ("plan", ".spec.skipped[].reason"))
    assert tuple(part["enum"]) == REASONS
