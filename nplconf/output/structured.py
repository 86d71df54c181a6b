"""Results for programs, JSON or YAML of the same data, and that data as Markdown for people."""

import json
from typing import Any


def text(data: dict[str, Any], form: str) -> str:
    """The data as JSON (indented, one document, a newline at its end), YAML, or Markdown tables."""
    if form == "yaml":
        return _yaml(data)
    if form == "markdown":
        from nplconf.output import markdown

        return markdown.listing(data)
    return json.dumps(data, indent=2) + "\n"


def review(data: dict[str, Any], form: str) -> str:
    """The data of `plan`, `diff` and `apply`, which a pull request can show too."""
    if form != "markdown":
        return text(data, form)
    from nplconf.output import markdown

    return markdown.text(data)


def _yaml(data: dict[str, Any]) -> str:
    import yaml

    def dump(dumper: Any) -> str:
        return str(yaml.dump(data, Dumper=dumper, sort_keys=False, allow_unicode=False, width=120))

    try:
        return dump(getattr(yaml, "CSafeDumper", yaml.SafeDumper))
    except UnicodeEncodeError:  # libyaml refuses the lone surrogates that stand for a file name's odd bytes
        return dump(yaml.SafeDumper)
