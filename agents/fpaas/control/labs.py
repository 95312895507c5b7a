"""Labs of one checkout, and what tells them apart on the control node."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

#: Length of the digest of an inventory's paths: two labs of one name collide once in 2^32.
DIGEST_LENGTH = 8
#: Files that a lab cannot do without, once its hosts have them.
SECRETS = ("*credentials", "ca.*", "*.pem", "*.key", "*.csr")


def short_name(sources: Sequence[str]) -> str:
    """Return what an inventory's first source is called: its file name without suffix."""
    if "," in sources[0]:
        return "hosts"
    return Path(sources[0]).stem


def name(sources: Sequence[str]) -> str:
    """Name the lab of an inventory: its file's name, and a digest of where its sources really are.

    A list of hosts in place of a file (`-i host1,host2`) stands for itself.
    """
    places = [s if "," in s else str(Path(s).resolve()) for s in sources]
    digest = hashlib.sha256("\0".join(places).encode()).hexdigest()[:DIGEST_LENGTH]
    readable = re.sub(r"[^A-Za-z0-9._-]", "-", short_name(sources))
    return f"{readable}-{digest}"


def is_same_lab(directory: Path, nats_addresses: Mapping[str, str]) -> bool:
    """Whether a control directory that was named by a file's name only belongs to these hosts.

    `nats_addresses` are the lab's, by host. Certificates are named after their host and address;
    without TLS the last plan says where NATS was.
    """
    if not nats_addresses:
        return False
    certificates = [directory / f"{host}-{at}.pem" for host, at in nats_addresses.items()]
    if all(path.exists() for path in certificates):
        return True
    for plan in sorted(directory.glob("*Z-*.json"), reverse=True):
        try:
            urls = json.loads(plan.read_text(encoding="utf-8"))["nats_url"].split(",")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        return {urlsplit(url).hostname for url in urls} == set(nats_addresses.values())
    return False


def secrets_in(directory: Path) -> list[Path]:
    """Return the files of a control directory that hold a lab's secrets, and its certificates."""
    found = {path for pattern in SECRETS for path in directory.glob(pattern) if path.is_file()}
    return sorted(found)


def adopt(
    directory: Path, former: Path, nats_addresses: Mapping[str, str], *, copies: bool = True
) -> list[str]:
    """Copy a lab's secrets from the directory that it had by its file's name; returns their names.

    Without `copies`, only says which they would be. Only into a directory that has none, and only
    if they are this lab's. The former directory stays: another lab may have shared it. Raises
    OSError.
    """
    if secrets_in(directory) or not former.is_dir() or not is_same_lab(former, nats_addresses):
        return []
    found = secrets_in(former)
    if not copies:
        return [path.name for path in found]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in found:
        copy = directory / path.name
        copy.touch(mode=path.stat().st_mode & 0o777)
        copy.write_bytes(path.read_bytes())
    return [path.name for path in found]
