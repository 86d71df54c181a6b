"""Results for programs: the same data as JSON, YAML or Markdown."""

import json
from typing import Any


def text(data: dict[str, Any], form: str) -> str:
    """Return the data as JSON (one indented document and a newline), YAML, or Markdown tables."""
    if form == "yaml":
        return _yaml(data)
    if form == "markdown":
        from nplconf.output import markdown

        return markdown.listing(data)
    return json.dumps(data, indent=2) + "\n"


def review(data: dict[str, Any], form: str) -> str:
    """Return the data of `plan`, `diff` and `apply`, whose Markdown form fits a pull request."""
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
    except UnicodeEncodeError:  # libyaml refuses lone surrogates, which represent invalid bytes of a file name
        return dump(yaml.SafeDumper)
