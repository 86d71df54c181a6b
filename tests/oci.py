"""Make an OCI image archive from files, for `ctr images import`: no registry and no other tool is needed."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MEDIA_TYPE = "application/vnd.oci.image"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link in an image."""

    to: str


def archive(name: str, files: Mapping[str, bytes | Link], command: Sequence[str], machine: str) -> bytes:
    """Return the archive of an image with one layer.

    Args:
        name: The image's name with its tag, as Pods use it ("localhost/busybox:1").
        files: Path in the image, without a leading slash -> content or link. Each file is executable.
        command: What a container runs that names no command of its own.
        machine: The processor, as `os.uname` gives it.
    """
    blobs: dict[str, bytes] = {}
    layer = _tar(files)
    rootfs = _add(blobs, "layer.v1.tar", layer)
    config = {
        "architecture": MACHINES[machine],
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": list(command)},
        "rootfs": {"type": "layers", "diff_ids": [rootfs["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA_TYPE}.manifest.v1+json",
        "config": _add(blobs, "config.v1+json", _json(config)),
        "layers": [rootfs],
    }
    entry = _add(blobs, "manifest.v1+json", _json(manifest))
    entry["annotations"] = {"io.containerd.image.name": name}
    index = _json({"schemaVersion": 2, "manifests": [entry]})
    return _tar({**blobs, "index.json": index, "oci-layout": _json({"imageLayoutVersion": "1.0.0"})})


def _add(blobs: dict[str, bytes], kind: str, content: bytes) -> dict[str, object]:
    digest = hashlib.sha256(content).hexdigest()
    blobs[f"blobs/sha256/{digest}"] = content
    return {"mediaType": f"{MEDIA_TYPE}.{kind}", "digest": f"sha256:{digest}", "size": len(content)}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _tar(files: Mapping[str, bytes | Link]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.mode = 0o755
            if isinstance(content, Link):
                entry.type, entry.linkname = tarfile.SYMTYPE, content.to
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()
