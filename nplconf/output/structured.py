"""Results for programs: JSON or YAML of the same data."""

import json
from typing import Any


def text(data: dict[str, Any], form: str) -> str:
    """The data as JSON (indented, one document, a newline at its end) or YAML."""
    if form == "yaml":
        import yaml

        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        return str(yaml.dump(data, Dumper=dumper, sort_keys=False, allow_unicode=False, width=120))
    return json.dumps(data, indent=2) + "\n"


def review(data: dict[str, Any], form: str) -> str:
    """The data of `plan`, `diff` and `apply`, which a pull request can show too."""
    if form != "markdown":
        return text(data, form)
    from nplconf.output import markdown

    return markdown.text(data)
