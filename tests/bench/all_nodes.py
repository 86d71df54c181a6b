"""How long `nplconf render --all-nodes` takes, and how much memory.

    python tests/bench/all_nodes.py            # 5,000 nodes, 150,000 Pods, 5,000 Services, as kubectl prints them
    python tests/bench/all_nodes.py --compact  # as an API server sends them

Renders twice: into an empty directory, and again, which must change no file.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cluster_dump


def main() -> None:
    """Make a dump, render it, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in (("nodes", 5000), ("pods", 150000), ("services", 5000)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--compact", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nplconf-bench-") as directory:
        dump = Path(directory, "dump.json")
        with dump.open("w") as out:
            cluster_dump.write(out, given.nodes, given.pods, given.services, None if given.compact else 4)
        print(f"{given.nodes} nodes, {given.pods} Pods, {given.services} Services: {dump.stat().st_size / 1e6:.0f} MB")
        for again in ("first", "again"):
            found, seconds, cpu = rendered(dump, Path(directory, "plans"))
            megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(f"{again}: {len(found['written'])} of {found['plans']} plans written, ", end="")
            print(f"{seconds:.1f} s ({cpu:.1f} s CPU), peak {megabytes:.0f} MB")


def rendered(dump: Path, plans: Path) -> tuple[dict[str, list[str]], float, float]:
    """What one run said, its seconds, and those of its CPU."""
    argv = [sys.executable, "-m", "nplconf", "render", "--all-nodes", "--cluster-state", str(dump), "--out", str(plans)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([*argv, "-o", "json"], check=True, stdout=subprocess.PIPE)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout), seconds, cpu


if __name__ == "__main__":
    main()
