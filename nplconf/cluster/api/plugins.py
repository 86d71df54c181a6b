"""`python -m nplconf.cluster.api.plugins FILE`: resolve a kubeconfig with plugins by the `kubernetes` package.

A program of its own, for `cluster.kubeconfig`: it may take long, hang, or need much memory. Prints the fields of an
`Access` as JSON. Exit 78: the file is wrong; 69: no credentials came.
"""

import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

from nplconf.errors import BadConfigError, UnavailableError


def main(named: str) -> int:
    """Print the credentials; the exit code. What went wrong is on stderr."""
    # the package logs why a plugin failed, and goes on without credentials
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    from kubernetes import client, config

    load: Any = config.load_kube_config

    found = client.Configuration()
    with tempfile.TemporaryDirectory() as private:
        try:
            load(named, client_configuration=found, temp_file_path=private)
        except Exception as err:  # noqa: BLE001 - whatever the package stumbles over stands in the file
            sys.stderr.write(f"{err}\n")
            return BadConfigError.exit_code
        access = fields(found)
    if not access["token"] and not access["certificate"]:
        return UnavailableError.exit_code
    sys.stdout.write(json.dumps(access))
    return 0


def fields(found: Any) -> dict[str, Any]:
    """A `kubernetes.client.Configuration` as the fields of an `Access`."""
    settings = found.auth_settings().get("BearerToken") or {}
    return {
        "server": found.host,
        "token": str(settings.get("value") or "").removeprefix("Bearer "),
        "ca": _text(found.ssl_ca_cert) or None,
        "certificate": _text(found.cert_file),
        "key": _text(found.key_file),
        "verify": bool(found.verify_ssl),
        "server_name": found.tls_server_name or "",
        "proxy": found.proxy or "",
    }


def _text(path: str | None) -> str:
    return Path(path).read_text(encoding="utf-8") if path else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
