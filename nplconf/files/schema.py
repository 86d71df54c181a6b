"""The published JSON Schemas, and the problems of a document with one of them."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

from nplconf.files.strict_yaml import LOST, Document, Judge, Path, Problem, shown
from nplconf.spelling import suggestion

Name = Literal["plan", "config", "policy"]
_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "integer": "an integer",
    "string": "a text",
    "boolean": "true or false",
    "null": "null",
}


def text(name: Name) -> str:
    """Return a schema as JSON text, the bytes of the packaged file."""
    from importlib.resources import files

    return files("nplconf").joinpath("schemas", f"{name}.schema.json").read_text("utf-8")


def problems(document: Document, name: Name) -> tuple[Problem, ...]:
    """Return all problems of a document, in its order: those that the reader found, and those with the schema.

    If the reader could not read a value, the schema's complaint about it is left out.
    """
    found = dict.fromkeys(document.problems)
    if not document.complete:
        return tuple(sorted(found))
    lost = {problem.path for problem in document.problems if problem.rule in LOST}
    errors = _validator(name).iter_errors(document.value)
    most = len(found) + _LIMIT
    for problem in (problem for error in errors for problem in _problems(document, error)):
        if problem.path in lost:
            continue
        if len(found) == most and problem not in found:
            found[document.problem((), _CUT, f"{_LIMIT} problems: there may be more")] = None
            break
        found[problem] = None
    return tuple(sorted(found))


def judge(name: Name) -> Judge:
    """Return a function that returns the problems of the first rows of a list if there are many, else nothing.

    There are many if half of the rows have one, or if there must be no list at this path.
    """

    def judged(document: Document, path: Path) -> tuple[Problem, ...]:
        """Return the problems of the list at `path`, if there are many."""
        value: Any = document.value
        for step in path:
            value = value[step]
        wrong: set[object] = set()
        found: dict[Problem, None] = {}
        for error in _validator(name).iter_errors(document.value):
            place = error.absolute_path
            # of an incomplete document, what is missing above the rows is no problem
            if len(place) > len(path) or error.validator in ("type", "additionalProperties"):
                wrong.add(place[len(path)] if len(place) > len(path) else None)
                found |= dict.fromkeys(_problems(document, error))
            if len(found) >= _LIMIT:
                break
        many = None in wrong or len(found) >= _LIMIT or len(wrong) * 2 >= len(value)
        return tuple(sorted(found)[:_LIMIT]) if many else ()

    return judged


def unfit(document: Document, found: tuple[Problem, ...]) -> frozenset[str]:
    """Return the paths in `found` whose values do not conform. A duplicate key or an anchor alone does no harm."""
    harmless = {problem for problem in document.problems if problem.rule not in LOST}
    return frozenset(problem.path for problem in found if problem not in harmless)


def cut(found: tuple[Problem, ...]) -> bool:
    """Return whether the check ended early, so that other parts of the document may have any shape."""
    return any(problem.rule == _CUT for problem in found)


_LIMIT = 1_000
_CUT = "too-many-problems"


def _validator(name: Name) -> Any:
    """Return a validator that accepts only int for an integer and validates equal scalars only once.

    The cache of scalars halves the time: most values of a plan are repeated in thousands of rows.
    """
    import json

    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    strict: Any = extend(  # type: ignore[no-untyped-call]
        Draft202012Validator,
        {"properties": _cached_properties()},
        type_checker=types,
    )
    return strict(json.loads(text(name)))


def _cached_properties() -> Callable[[Any, Any, Any, Any], Iterator[Any]]:
    """Return the validator of `properties` with a cache of valid scalars, by schema and value."""
    good: set[tuple[int, int | str]] = set()

    def properties(validator: Any, schemas: Any, instance: Any, _: Any) -> Iterator[Any]:
        """Yield the errors of each property of an object, as jsonschema's own `properties` does."""
        if not isinstance(instance, dict):
            return
        for name, schema in schemas.items():
            if name not in instance:
                continue
            value = instance[name]
            errors = validator.descend(value, schema, path=name, schema_path=name)
            if type(value) not in (int, str):  # not bool either: True equals 1 in a set
                yield from errors  # lazily: there may be a million
            elif (id(schema), value) not in good:
                found = list(errors)
                if not found:
                    good.add((id(schema), value))
                yield from found

    return properties


def _problems(document: Document, error: Any) -> Iterator[Problem]:
    """Yield the problems of a validation error. Errors of required and additionalProperties concern several keys."""
    path: Path = tuple(error.absolute_path)
    match error.validator:
        case "required":
            for key in error.validator_value:
                if key not in error.instance:
                    yield document.problem((*path, key), "missing-key", f"the key {shown(key)} is missing")
        case "additionalProperties":
            properties = error.schema["properties"]
            for key in error.instance:
                if key not in properties:
                    hint = suggestion(key, properties) or f"; known are {', '.join(properties)}"
                    yield document.problem((*path, key), "unknown-key", f"unknown key{hint}")
        case _:
            yield document.problem(path, *_fault(error))


def _fault(error: Any) -> tuple[str, str]:
    """Return (rule, message) of an error that concerns one value."""
    value, wanted, schema = shown(error.instance), error.validator_value, error.schema
    title = schema.get("title", "what the schema wants")
    match error.validator:
        case "type" if error.instance is None and not error.absolute_path:
            fault = "empty-document", "the document is empty"
        case "type":
            types = " or ".join(_TYPES[name] for name in ([wanted] if isinstance(wanted, str) else wanted))
            fault = "wrong-type", f"must be {types}, not {value}{_hint(error.instance, types)}"
        case "enum":
            fault = "unknown-value", f"must be one of {', '.join(wanted)}, not {value}"
        case "const":
            fault = "unknown-value", f"must be {wanted}, not {value}"
        case "minimum" | "maximum":
            fault = "out-of-range", f"{value} is not {title}: {schema['minimum']} to {schema['maximum']}"
        case "oneOf":
            keys = " and ".join(key for choice in wanted for key in choice["required"])
            fault = "malformed", f"must have exactly one of {keys}"
        case "minItems":
            fault = "empty-list", "must not be empty"
        case _:
            fault = "malformed", f"{value} is not {title}"
    return fault


def _hint(value: object, types: str) -> str:
    """Return why the reader takes a value that looks like a number for a text."""
    if isinstance(value, str) and value[:1] in tuple("+-.0123456789") and "integer" in types:
        return " (an integer has digits only: no quotes, leading zeros, underscores, plus sign or fraction)"
    return ""
