"""Credentials that a program returns: exec plugins and auth providers of a kubeconfig.

The `kubernetes` package runs them, in a process of its own (`plugins`): its import alone costs 220 ms of CPU and 43 MB,
it sets no end to a plugin that hangs, and it leaves keys in temporary files.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nplconf.child import end
from nplconf.deadline import current
from nplconf.errors import BadConfigError, UnavailableError
from nplconf.interpreter import PYTHON, SAFE_DIRECTORY

PLUGIN_SECONDS = 15
LONGEST_MESSAGE = 500
"""Characters of a plugin's stderr in a message."""
SHORTEST_SECRET = 4
"""Characters. Shorter values would black out parts of words, and protect nothing."""
SHORTEST_PART = 8
"""Characters of a part of a value. Shorter parts are mostly ordinary words."""
PUBLIC = ("apiVersion", "command", "interactiveMode", "installHint", "provideClusterInfo")
"""Keys whose values a message may quote."""


def ask(files: Sequence[str], source: str, user: Mapping[str, Any]) -> dict[str, str]:
    """Return token, certificate and key of the current user.

    Args:
        files: absolute paths of the kubeconfig files.
        source: names them in messages.
        user: the current user; its values are removed from what the plugin prints.

    Raises:
        BadConfigError: the `kubernetes` package cannot read the kubeconfig.
        UnavailableError: the plugin returns no credentials.
    """
    code, out = _output([*PYTHON, "-m", "nplconf.cluster.api.plugins", os.pathsep.join(files)], source)
    try:
        found = json.loads(out)
        problem = found.pop("problem", "")
    except (ValueError, AttributeError):
        raise UnavailableError(f"{source}: no credentials from its plugin: exit code {code}") from None
    message = _redacted(" ".join(problem.split()), user)[:LONGEST_MESSAGE]
    if code == BadConfigError.exit_code:
        raise BadConfigError(f"{source}: {message}")
    if code != 0:
        raise UnavailableError(f"{source}: no credentials from its plugin: {message or 'it prints no reason'}")
    return {str(name): str(value) for name, value in found.items()}


def _redacted(message: str, user: Mapping[str, Any]) -> str:
    """Replace each value of a user, the longest first: a plugin may print its own environment.

    Of a value such as `--token=SECRET` or a shell command, a plugin may print the secret part alone.
    """
    values = {" ".join(value.split()) for value in _values(user)}
    parts = {part for value in values for part in re.split(r"[\s='\";,:{}]+", value) if len(part) >= SHORTEST_PART}
    hidden = parts | {value for value in values if len(value) >= SHORTEST_SECRET}
    for value in sorted(hidden, key=len, reverse=True):
        message = message.replace(value, "***")
    return message


def _values(found: object) -> Iterator[str]:
    """Return all scalars as text, except those of public keys and the names of environment variables."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key not in PUBLIC and not (key == "name" and "value" in found):
                yield from _values(value)
    elif isinstance(found, list):
        for value in found:
            yield from _values(value)
    elif found is not None:
        yield str(found)


def _output(command: list[str], source: str) -> tuple[int, str]:
    """Run a program until it ends or the time is over: (exit code, stdout)."""
    seconds = current().left(PLUGIN_SECONDS)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a traceback of the package may quote secrets
        start_new_session=True,
        cwd=SAFE_DIRECTORY,
    )
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{source}: its plugin gave no credentials in {seconds:.0f} s") from None
    finally:
        end(process)
    return process.returncode, out.decode(errors="replace")
