"""`python -m nplconf.cluster.api.plugins FILE`: run the plugin of a kubeconfig by means of the `kubernetes` package.

A program of its own, for `credential_plugin`: it may take long, hang, or need much memory. It prints JSON: `token`,
`certificate` and `key`, or `problem`. Exit 78: the kubeconfig is wrong; 69: the plugin returned no credentials.

The package quotes whole users, with their tokens, in its exceptions and logs. So a problem is one of a few sentences
that are known to be harmless, with one exception: the stderr of an exec plugin, from which the caller removes what it
knows to be secret.
"""

import json
import logging
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from nplconf.errors import BadConfigError, UnavailableError

_PLUGIN_FAILED = re.compile(r"exec: process returned (-?\d+)(?:\. (.*))?", re.DOTALL)
_NOT_STARTED = re.compile(r"\[Errno (\d+)\]")
_MISSING = re.compile(
    r"exec: .*missing (?:key )?'?(apiVersion|kind|status|clientKeyData|token or clientCertificateData)"
)
_KEYS = (
    "apiVersion",
    "args",
    "command",
    "config",
    "env",
    "id-token",
    "idp-issuer-url",
    "name",
    "refresh-token",
    "value",
)
"""Keys that the package misses by an exception that names them."""
MISSING = (
    "the Python package kubernetes is not installed, which runs credential plugins. "
    "Fix: pip install kubernetes, or use a token or a certificate"
)


def main(named: str) -> int:
    """Print the credentials or the problem; return the exit code."""
    try:
        from kubernetes import client, config
    except ImportError:
        return _print({"problem": MISSING}, BadConfigError.exit_code)

    load: Any = config.load_kube_config
    logged = _Logged()
    logging.getLogger().addHandler(logged)  # the package logs why a plugin failed, and goes on without credentials
    found = client.Configuration()
    with tempfile.TemporaryDirectory() as private:
        try:
            load(named, client_configuration=found, temp_file_path=private)
        except Exception as err:  # noqa: BLE001 - whatever the package fails at stands in the file
            return _print({"problem": _unreadable(err)}, BadConfigError.exit_code)
        credentials = fields(found)
    if not credentials["token"] and not credentials["certificate"]:
        return _print({"problem": logged.problem}, UnavailableError.exit_code)
    return _print(credentials, 0)


def _print(result: dict[str, str], code: int) -> int:
    sys.stdout.write(json.dumps(result))
    return code


class _Logged(logging.Handler):
    """Keeps the last problem that the package logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.problem = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.problem = harmless(record.getMessage()) or self.problem


def harmless(message: str) -> str:
    """Return a log message of the package as a sentence without secrets; "" for an unknown one."""
    if failed := _PLUGIN_FAILED.fullmatch(message):
        return f"its command ended with exit code {failed[1]}: {failed[2] or 'it prints no reason'}"
    if missing := _MISSING.match(message):
        return f"its output has no {missing[1]}"
    if not_started := _NOT_STARTED.match(message):
        return f"its command cannot be started: {os.strerror(int(not_started[1]))}"
    if message.startswith("exec: failed to decode"):
        return "its output is no JSON"
    if message.startswith("exec: plugin api version"):
        return "its output has another apiVersion than the kubeconfig demands"
    return ""


def _unreadable(err: Exception) -> str:
    """Return the key that is missing, if the exception names one."""
    message = str(err)
    key = next((key for key in _KEYS if f"Expected key {key} in" in message or message == repr(key)), "")
    if key:
        return f"the plugin's settings lack the key {key}"
    return f"the kubernetes package cannot use the plugin's settings ({type(err).__name__})"


def fields(found: Any) -> dict[str, str]:
    """Return the credentials of a `kubernetes.client.Configuration`."""
    settings = found.auth_settings().get("BearerToken") or {}
    return {
        "token": str(settings.get("value") or "").removeprefix("Bearer "),
        "certificate": _text(found.cert_file),
        "key": _text(found.key_file),
    }


def _text(path: str | None) -> str:
    return Path(path).read_text(encoding="utf-8") if path else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
