"""Ansible module: `nplconf apply`, and `nplconf plan` in check mode."""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: nplconf_apply
short_description: Make a node match the cluster and annotate its Pods
description:
  - Runs C(nplconf apply), in check mode C(nplconf plan). With --diff it shows the plan as nplconf prints it.
  - C(changed) is true when a mapping or an annotation differs (check mode) or was changed.
options:
  command: {description: The command that runs nplconf., type: str, default: nplconf}
  accept: {description: Exit codes beside 0 that are no failure., type: list, elements: int, default: []}
author: [nplconf]
"""
EXAMPLES = """
- nplconf_apply: {}
"""
RETURN = """
exit_code: {description: The exit code of nplconf., type: int, returned: always}
result: {description: The JSON document of C(nplconf plan) or C(nplconf apply)., type: dict, returned: when printed}
"""


def main() -> None:
    """Run nplconf and report what it printed."""
    module = AnsibleModule(
        {
            "command": {"type": "str", "default": "nplconf"},
            "accept": {"type": "list", "elements": "int", "default": []},
        },
        supports_check_mode=True,
    )
    command = module.params["command"]
    found: dict[str, Any] = {}
    if module._diff:  # noqa: SLF001 - Ansible has no other name for it
        # Before the run, as there is nothing to show after it.
        _, plan, _ = module.run_command([command, "plan", "--color", "never"])
        found["diff"] = {"prepared": plan}
    verb = "plan" if module.check_mode else "apply"
    code, printed, messages = module.run_command([command, verb, "-o", "json"])
    try:
        result = json.loads(printed)
    except ValueError:
        module.fail_json(msg=messages.strip() or f"nplconf {verb}: exit code {code}", rc=code, **found)
    found |= {"changed": changed(result, planned=module.check_mode), "result": result, "exit_code": code}
    if code not in (0, *module.params["accept"]):
        module.fail_json(msg=messages.strip() or f"nplconf {verb}: exit code {code}", **found)
    for line in messages.splitlines():
        module.warn(line)
    module.exit_json(**found)


def changed(result: dict[str, Any], *, planned: bool) -> bool:
    """Whether a mapping or an annotation is to be changed (planned), or was."""
    if planned:
        return bool(result["changes"] or result["patches"])
    return bool(result["summary"]["changed"] or result["patches"])


if __name__ == "__main__":
    main()
