"""Read the config file: its keys become the values of options.

Every run on a node reads it, so it is checked with the parsers of the option table (`settings`). jsonschema would take
70 ms to import. schemas/config.schema.json, for editors, is generated from the same table.
"""

from nplconf.characters import escaped
from nplconf.errors import BadConfigError, BadDataError
from nplconf.files.reading import MissingFileError, read_text
from nplconf.files.strict_yaml import Document, Limits, Path, load, show_path, shown
from nplconf.option import Option
from nplconf.settings import CONFIG, options
from nplconf.spelling import suggestion

_LIMITS = Limits(characters=1024 * 1024, depth=4, entries=10_000)
_MOST = 10
"""The most problems in the one-line error. Others are counted."""
KEYS: dict[str, Option] = {option.key: option for option in options() if option.key}
"""Every key of the config file."""


def read(path: str = CONFIG, *, required: bool = True) -> dict[str, object]:
    """Return the options in a config file, by key; {} if it is missing and not required.

    Raises:
        BadConfigError: The message names the file, and line and key of each fault.
    """
    try:
        text = read_text(path, _LIMITS.characters)
    except MissingFileError as error:
        if required:
            raise BadConfigError(str(error)) from None
        return {}
    except BadDataError as error:
        raise BadConfigError(str(error)) from None
    return parse(text, path)


def parse(text: str, file: str) -> dict[str, object]:
    """Return the options in the text of a config file, as `read`. An empty text has none."""
    document = load(text, source=file, limits=_LIMITS)
    found, faults = _options(document)
    wrong = [(problem.line, problem.path, problem.message) for problem in document.problems]
    wrong += [(document.line(path), show_path(path), message) for path, message in faults]
    if wrong:
        raise BadConfigError(f"{escaped(file)}: {_in_lines(sorted(wrong))}")
    return found


def salvage(path: str) -> dict[str, object]:
    """Return only the valid options of a config file; {} if it cannot be read."""
    try:
        return _options(load(read_text(path, _LIMITS.characters), source=path, limits=_LIMITS))[0]
    except BadDataError:
        return {}


def check(key: str, value: object) -> object:
    """Return an option's value from plain data. Raises ValueError with the valid values."""
    return KEYS[key].kind.parse(value)


def from_text(key: str, text: str) -> object:
    """Return an option's value from an argument or an environment variable. Raises ValueError, as `check`."""
    return check(key, KEYS[key].kind.data_of(text))


def _options(document: Document) -> tuple[dict[str, object], list[tuple[Path, str]]]:
    """Return the options of the file, and path and message of each fault."""
    data = {} if document.value is None else document.value
    if not isinstance(data, dict):
        return {}, [((), f"must be a mapping, not {shown(data)}")]
    found: dict[str, object] = {}
    faults: list[tuple[Path, str]] = []
    for key, value in data.items():
        if key not in KEYS:
            hint = suggestion(key, KEYS) or f"; known are {', '.join(KEYS)}"
            faults.append(((key,), f"unknown key{hint}"))
            continue
        try:
            found[key] = check(key, value)
        except ValueError as error:
            faults.append(((key,), str(error)))
    return found, faults


def _in_lines(wrong: list[tuple[int, str, str]]) -> str:
    lines = [f"line {line}: {path}: {message}" if path else f"line {line}: {message}" for line, path, message in wrong]
    more = [f"{len(lines) - _MOST} more"] if len(lines) > _MOST else []
    return "; ".join(lines[:_MOST] + more)
