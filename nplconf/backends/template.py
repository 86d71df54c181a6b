"""A template of the user's own, in jinja2. It gets the document of `data` and the filter `host_port`.

A template is as trusted as a configuration file, yet it runs in jinja2's sandbox: what it gets comes from tenants.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nplconf.backends.formats import host_port
from nplconf.errors import BadDataError

if TYPE_CHECKING:
    from jinja2 import Template


def compiled(text: str, source: str) -> "Template":
    """Return the template of a text. Raises BadDataError with file and line."""
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["host_port"] = host_port
    try:
        return environment.from_string(text)
    except jinja2.TemplateSyntaxError as err:
        raise BadDataError(f"{source}:{err.lineno}: {err.message}") from None


def rendered(template: "Template", document: Mapping[str, Any], source: str) -> str:
    """Return what a template makes of the document. Raises BadDataError."""
    try:
        return template.render(document)
    except Exception as err:  # noqa: BLE001 a template can raise whatever Python raises
        raise BadDataError(f"{source}: {err}") from None
