"""Write an OCI image archive from directories, with Python alone: no registry, no daemon, no root.

The same directories give the same bytes: entries are sorted, belong to root, and have one time. Layers are not
compressed, because the bytes of gzip depend on the version of zlib; whatever pushes the image compresses them.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MEDIA = "application/vnd.oci.image"


@dataclass(frozen=True, slots=True)
class Image:
    """What an image is made of. epoch: the time of every file, in seconds; name: with its tag."""

    name: str
    layers: Sequence[Path]
    config: Mapping[str, Any]
    architecture: str
    epoch: int


def layer(directory: Path, epoch: int) -> bytes:
    """Return a directory as a tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(directory.rglob("*")):
            info = tar.gettarinfo(path, str(path.relative_to(directory)))
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = epoch
            if info.isreg():
                with path.open("rb") as content:
                    tar.addfile(info, content)
            else:
                tar.addfile(info)
    return out.getvalue()


def write(image: Image, archive: Path) -> str:
    """Write the archive; return the digest of the image's manifest."""
    blobs: dict[str, bytes] = {}

    def blob(kind: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": f"{MEDIA}.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    layers = [blob("layer.v1.tar", layer(directory, image.epoch)) for directory in image.layers]
    config = blob("config.v1+json", _json(_config(image, [one["digest"] for one in layers])))
    labels = dict(image.config.get("Labels", {}))
    manifest = {"schemaVersion": 2, "mediaType": f"{MEDIA}.manifest.v1+json", "config": config, "layers": layers}
    entry = blob("manifest.v1+json", _json({**manifest, "annotations": labels}))
    entry["annotations"] = {
        "io.containerd.image.name": image.name,
        "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
    }
    entry["platform"] = {"architecture": image.architecture, "os": "linux"}
    files = {f"blobs/sha256/{digest}": content for digest, content in blobs.items()}
    files["index.json"] = _json({"schemaVersion": 2, "mediaType": f"{MEDIA}.index.v1+json", "manifests": [entry]})
    files["oci-layout"] = _json({"imageLayoutVersion": "1.0.0"})
    _write_tar(files, archive, image.epoch)
    return str(entry["digest"])


def _config(image: Image, diff_ids: Sequence[str]) -> dict[str, Any]:
    created = datetime.fromtimestamp(image.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "created": created,
        "architecture": image.architecture,
        "os": "linux",
        "config": dict(image.config),
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        "history": [{"created": created, "created_by": directory.name} for directory in image.layers],
    }


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _write_tar(files: Mapping[str, bytes], archive: Path, epoch: int) -> None:
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mtime = epoch
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(content))
