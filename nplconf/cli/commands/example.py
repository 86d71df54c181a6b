"""`nplconf example [NAME]`: print an example file that is installed with nplconf, or list all of them."""

import argparse
from importlib.resources import files

from nplconf.output import table
from nplconf.settings import Settings

EXAMPLES = {
    "config": ("config.yaml", "the config file with every key"),
    "plan": ("plan.yaml", "a plan"),
    "cluster": ("cluster-6281.yaml", "a cluster state file"),
    "policy": ("gitops/policy.yaml", "a policy"),
    "rbac": ("kubernetes/rbac.yaml", "the rights that nplconf needs"),
    "reader": ("kubernetes/reader.yaml", "the rights that nplconf backends needs"),
    "policies": ("kubernetes/policies.yaml", "admission policies that limit these rights to the node"),
    "policies-strict": (
        "kubernetes/policies-strict.yaml",
        "more of them: node addresses and Events; costs the API server more",
    ),
    "policies-kubelet": ("kubernetes/policies-kubelet.yaml", "the same for the kubelet's credentials"),
    "readiness-gate": ("kubernetes/readiness-gate.yaml", "a policy that adds the readiness gate to new Pods"),
    "daemonset-hold": ("kubernetes/daemonset/base/hold.yaml", "the DaemonSet that holds the port range"),
    "daemonset-watch": ("kubernetes/daemonset/base/watch.yaml", "the DaemonSet that follows the cluster"),
    "cleanup-job": ("kubernetes/daemonset/cleanup-job.yaml", "a Job that removes nplconf from a node"),
    "alerts": ("prometheus/alerts.yaml", "alert rules for the metrics"),
}
"""Name -> (file below examples/, description)."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this command."""
    parser.add_argument(
        "name", nargs="?", choices=tuple(EXAMPLES), metavar="NAME", help=f"one of {', '.join(EXAMPLES)}"
    )


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the bytes of the file."""
    if arguments.name:
        file, _ = EXAMPLES[arguments.name]
        print(files("nplconf").joinpath("examples", file).read_text("utf-8"), end="")
    else:
        rows = ((name, about) for name, (_, about) in EXAMPLES.items())
        table.write(table.columns(("NAME", "WHAT IT IS"), rows), settings)
    return 0
