#!/usr/bin/env python3
"""Build the OCI image of nplconf from Debian's packages and wheels, without a registry: `make image`.

    image.py fetch INPUTS              Debian's packages and the wheels, into INPUTS/debian and INPUTS/wheels (network)
    image.py wheel INPUTS              the wheel of this checkout, into INPUTS/wheels
    image.py write INPUTS ARCHIVE      an OCI archive; the same inputs and SOURCE_DATE_EPOCH give the same digest
    image.py unpack INPUTS ROOT        one root directory with all of it, for the Containerfile

Packages are unpacked, not installed: no maintainer script runs, so neither root nor a chroot is needed, and the image
has no package manager. Measured: 70 MB, of which Python with its bytecode is 35; a root of Debian's essential packages
with all dependencies of nplconf is 221 MB, of which `kubernetes` is 75. The control files of the packages are in
/var/lib/dpkg/status.d, where SBOM scanners look for them.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import oci

HERE = Path(__file__).resolve().parent
SUITE = "trixie"
PYTHON = "3.13"
PACKAGES = (
    "base-files",
    "dash",
    "iproute2",
    "iptables",
    "libnftables1",
    "libpython3.13-stdlib",
    "netbase",
    "nftables",
    "python3.13-minimal",
)
LEFT_OUT_PACKAGES = (
    "debconf",
    "debianutils",
    "gcc-14-base",
    "libcap2-bin",
    "libcom-err2",
    "libdb5.3t64",
    "libgssapi-krb5-2",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "libncursesw6",
    "libreadline8t64",
    "libsqlite3-0",
    "libtirpc3t64",
    "libtirpc-common",
    "mawk",
    "media-types",
    "openssl-provider-legacy",
    "readline-common",
    "tzdata",
)
"""Dependencies that only maintainer scripts and the modules left out below need."""
LEFT_OUT = (
    "etc/update-motd.d",
    "usr/bin/ss",
    "usr/lib/*-linux-gnu/gconv",  # 8 MB of character sets
    "usr/lib/python3.*/curses",
    "usr/lib/python3.*/dbm",
    "usr/lib/python3.*/idlelib",
    "usr/lib/python3.*/lib-dynload/_codecs_*",
    "usr/lib/python3.*/lib-dynload/_curses*",
    "usr/lib/python3.*/lib-dynload/_dbm*",
    "usr/lib/python3.*/lib-dynload/_gdbm*",
    "usr/lib/python3.*/lib-dynload/_sqlite3*",
    "usr/lib/python3.*/lib-dynload/_test*",
    "usr/lib/python3.*/lib-dynload/_xxtest*",
    "usr/lib/python3.*/lib-dynload/readline*",
    "usr/lib/python3.*/_pyrepl",
    "usr/lib/python3.*/pydoc_data",
    "usr/lib/python3.*/sitecustomize*",  # a link, which `*` finds although it leads nowhere
    "usr/lib/python3.*/sqlite3",
    "usr/lib/python3.*/test",
    "usr/lib/python3.*/turtledemo",
    "usr/lib/python3/dist-packages/netaddr/eui/*.idx",  # 9 MB of makers of network cards
    "usr/lib/python3/dist-packages/netaddr/eui/*.txt",
    "usr/sbin/arpd",
    "usr/share/bash-completion",
    "usr/share/binfmts",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl5",
    "usr/share/zoneinfo",
)
SITE = "usr/lib/python3/dist-packages"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
NONROOT = 65532
PASSWD = f"root:x:0:0:root:/root:/usr/sbin/nologin\nnonroot:x:{NONROOT}:{NONROOT}:nonroot:/:/usr/sbin/nologin\n"
PROGRAM = """\
#!/usr/bin/python{python} -Ps
import sys

from nplconf.__main__ import start

sys.exit(start())
"""
APT = (
    "APT::Install-Recommends=false",
    "APT::Sandbox::User=",
    "APT::Keep-Downloaded-Packages=true",
    "APT::Update::Post-Invoke=",
    "DPkg::Post-Invoke=",
    "Dir::Etc::sourceparts=/dev/null",
)
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def main(*argv: str) -> None:
    """Run one of the commands."""
    os.umask(0o022)
    match argv:
        case ("fetch", inputs):
            fetch(Path(inputs))
        case ("wheel", inputs):
            wheel(Path(inputs))
        case ("write", inputs, archive):
            write(Path(inputs), Path(archive))
        case ("unpack", inputs, root):
            for layer in (debian, application):
                layer(Path(inputs), Path(root))
            compile_python(Path(root), Path(root))
        case _:
            sys.exit(__doc__)


# --- inputs ----------------------------------------------------------------------------------------------------------


def fetch(inputs: Path) -> None:
    """Download the packages and the wheels."""
    fetch_debian(inputs / "debian")
    wheels = inputs / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    machine = platform.machine()
    tags = [f"--platform=manylinux{tag}_{machine}" for tag in ("_2_28", "_2_17", "2014")]
    wanted = [*tags, f"--python-version={PYTHON}", "--only-binary=:all:", "--no-deps"]
    run(*PIP, "download", *wanted, "-d", str(wheels), "-r", str(HERE / "image-requirements.txt"))


def wheel(inputs: Path) -> None:
    """Build the wheel of this checkout."""
    for old in (inputs / "wheels").glob("nplconf-*.whl"):
        old.unlink()
    run(*PIP, "wheel", "--no-deps", "-w", str(inputs / "wheels"), str(HERE.parent))


def fetch_debian(directory: Path) -> None:
    """Download the packages with all they depend on, checked against Debian's signatures."""
    if not Path(KEYRING).exists():
        sys.exit(f"image: {KEYRING} is missing. Fix: apt-get install debian-archive-keyring")
    mirror = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org")
    (directory / "partial").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        state = Path(temporary)
        for name in ("lists/partial", "cache"):
            (state / name).mkdir(parents=True)
        (state / "status").touch()
        suites = {"debian": f"{SUITE} {SUITE}-updates", "debian-security": f"{SUITE}-security"}
        lines = [
            f"deb [signed-by={KEYRING}] {mirror}/{archive} {suite} main\n"
            for archive, names in suites.items()
            for suite in names.split()
        ]
        (state / "sources.list").write_text("".join(lines))
        where = {
            "Dir::State::status": state / "status",
            "Dir::State::lists": state / "lists",
            "Dir::Cache": state / "cache",
            "Dir::Cache::archives": directory.resolve(),
            "Dir::Etc::sourcelist": state / "sources.list",
        }
        options = [*APT, *(f"{key}={value}" for key, value in where.items())]
        apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
        run(*apt, "update")
        run(*apt, "--download-only", "--yes", "install", *PACKAGES)
        run(*apt, "autoclean")  # versions of an earlier run


# --- the two layers ---------------------------------------------------------------------------------------------------


def debian(inputs: Path, root: Path) -> None:
    """Unpack the packages, without what the image has no use for."""
    status = root / "var/lib/dpkg/status.d"
    for package in sorted((inputs / "debian").glob("*.deb")):
        name = package.name.partition("_")[0]
        if name in LEFT_OUT_PACKAGES:
            continue
        run("dpkg-deb", "--extract", str(package), str(root))
        status.mkdir(parents=True, exist_ok=True)
        (status / name).write_bytes(output("dpkg-deb", "--field", str(package)))
    for tool in ("iptables", "ip6tables"):  # what the maintainer script would link by update-alternatives
        for suffix in ("", "-restore", "-save"):
            replace_link(root / f"usr/sbin/{tool}{suffix}", "xtables-nft-multi")
    replace_link(root / "usr/bin/sh", "dash")
    replace_link(root / "usr/bin/python3", f"python{PYTHON}")
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(f"root:x:0:\nnonroot:x:{NONROOT}:\n")
    leave_out(root)


def replace_link(path: Path, target: str) -> None:
    """Make a symbolic link."""
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def leave_out(root: Path) -> None:
    """Remove what the image has no use for. Licences stay."""
    documentation = (path for path in root.glob("usr/share/doc/*/*") if path.name != "copyright")
    for path in [*(path for pattern in LEFT_OUT for path in root.glob(pattern)), *documentation]:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def application(inputs: Path, root: Path) -> None:
    """Unpack the wheels, and write the program."""
    site = root / SITE
    site.mkdir(parents=True, exist_ok=True)
    for file in sorted((inputs / "wheels").glob("*.whl")):
        with zipfile.ZipFile(file) as archive:
            archive.extractall(site)
    for unused in site.glob("*/__pycache__"):
        shutil.rmtree(unused)
    program = root / "usr/bin/nplconf"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(PROGRAM.format(python=PYTHON))
    program.chmod(0o755)
    for directory in ("etc/nplconf", "run/nplconf", "var/lib/nplconf"):  # to mount something at, where all is read-only
        (root / directory).mkdir(parents=True)
    leave_out(root)


def compile_python(root: Path, system: Path) -> None:
    """Write the bytecode of all modules: nothing can be written in the running container.

    The interpreter of the image (in `system`) is started by its own loader, as another version writes other bytecode.
    """
    loader = next(system.glob("usr/lib/*/ld-linux-*.so.*"))
    python = [str(loader), "--library-path", str(loader.parent), str(system / f"usr/bin/python{PYTHON}"), "-s"]
    options = ["-q", "-f", "-j1", "--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", "/"]
    environment = {"PYTHONHOME": str(system / "usr"), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    for directory in sorted(root.glob("usr/lib/python3*")):
        run(*python, "-m", "compileall", *options, str(directory), environment=environment)


# --- the archive -----------------------------------------------------------------------------------------------------


def write(inputs: Path, archive: Path) -> None:
    """Write the archive, and print its digest."""
    version = next((inputs / "wheels").glob("nplconf-*.whl")).name.split("-")[1]
    with tempfile.TemporaryDirectory() as temporary:
        base, layer = Path(temporary, "debian"), Path(temporary, "nplconf")
        for directory in (base, layer):
            directory.mkdir()
        debian(inputs, base)
        application(inputs, layer)
        compile_python(base, base)
        compile_python(layer, base)
        name = f"localhost/nplconf:{version}"
        image = oci.Image(name, (base, layer), config(version), MACHINES[platform.machine()], epoch())
        archive.parent.mkdir(parents=True, exist_ok=True)
        digest = oci.write(image, archive)
    size = archive.stat().st_size / 1e6
    print(f"{archive}: {name}, {digest}, {size:.0f} MB uncompressed")


def config(version: str) -> dict[str, object]:
    """Return how a container of the image runs. The user is root only where a manifest says so."""
    labels = {
        "org.opencontainers.image.title": "nplconf",
        "org.opencontainers.image.description": "NodePortLocal for any Kubernetes node, whatever its CNI",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.base.name": f"debian:{SUITE}",
    }
    if revision := git("rev-parse", "HEAD"):
        labels["org.opencontainers.image.revision"] = revision
    return {
        "Entrypoint": ["nplconf"],
        "Cmd": ["--help"],
        "User": f"{NONROOT}:{NONROOT}",
        "WorkingDir": "/",
        "StopSignal": "SIGTERM",
        "Env": ["PATH=/usr/sbin:/usr/bin", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"],
        "Labels": labels,
    }


def epoch() -> int:
    """Return SOURCE_DATE_EPOCH, else the time of the last commit."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct") or 0)


def git(*arguments: str) -> str:
    """Return what git prints about this checkout; "" where there is none."""
    try:
        return output("git", "-C", str(HERE.parent), *arguments).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def run(*command: str, environment: dict[str, str] | None = None) -> None:
    """Run a program that must succeed."""
    subprocess.run(command, env=environment, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def output(*command: str) -> bytes:
    """Return what a program prints."""
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit(f"image: {' '.join(map(str, error.cmd[:6]))}... failed: exit code {error.returncode}")
