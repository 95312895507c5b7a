"""Which nats-server is brought to a host, and which is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from fpaas.control import host_program
from fpaas.errors import BadInput

NATS = host_program.NATS_SERVER
X86_64, AARCH64 = 0x3E, 0xB7


def program(machine: int) -> bytes:
    return b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + machine.to_bytes(2, "little") + b"rest"


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tar_of(path: Path, names: list[str]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(program(X86_64))
            tar.addfile(member, io.BytesIO(program(X86_64)))
    return path


def test_program_for_the_host_is_taken_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / "nats-server"
    source.write_bytes(program(AARCH64))
    assert host_program.find(NATS, str(source), "aarch64", tmp_path / "cache") == source
    assert not (tmp_path / "cache").exists()


def test_program_for_another_machine_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "nats-server"
    source.write_bytes(program(AARCH64))
    with pytest.raises(BadInput, match=r"is a program for aarch64, the host is x86_64"):
        host_program.find(NATS, str(source), "x86_64", tmp_path)


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_archive_is_unpacked_once(tmp_path: Path, suffix: str) -> None:
    names = [
        "nats-server-v2.15.1-linux-amd64/README.md",
        "nats-server-v2.15.1-linux-amd64/nats-server",
    ]
    archive = tmp_path / f"nats-server-v2.15.1-linux-amd64{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as zipped:
            for name in names:
                zipped.writestr(name, program(X86_64))
    else:
        tar_of(archive, names)
    cache = tmp_path / "cache"
    found = host_program.find(
        NATS, str(archive), "x86_64", cache, f"SHA256:{checksum(archive).upper()}"
    )
    assert found.read_bytes() == program(X86_64)
    assert found.stat().st_mode & 0o111
    written = found.stat().st_mtime_ns
    assert host_program.find(NATS, str(archive), "x86_64", cache, checksum(archive)) == found
    assert found.stat().st_mtime_ns == written
    assert [path.name for path in found.parent.iterdir()] == ["nats-server"]


def test_archive_without_or_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "nats.tar.gz", ["x/nats-server"])
    with pytest.raises(BadInput, match="needs nats_server_checksum"):
        host_program.find(NATS, str(archive), "x86_64", tmp_path)
    with pytest.raises(BadInput, match=f"has the SHA-256 {checksum(archive)}, not 00"):
        host_program.find(NATS, str(archive), "x86_64", tmp_path / "cache", "00")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("names", [[], ["a/nats-server", "b/nats-server"]])
def test_archive_without_one_server_is_refused(tmp_path: Path, names: list[str]) -> None:
    archive = tar_of(tmp_path / "nats.tar.gz", names)
    with pytest.raises(BadInput, match="there is no one nats-server in it"):
        host_program.find(NATS, str(archive), "x86_64", tmp_path, checksum(archive))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nats.tar.gz", b"no archive", "cannot be unpacked"),
        ("nats.tar.gz", b"", "cannot be unpacked"),
        ("nats.tar.gz", gzip.compress(b"cut short", mtime=0)[:-9], "cannot be unpacked"),
        ("nats-server", b"#!/bin/sh\n", "is not a program for Linux"),
        ("nats-server", b"", "is not a program for Linux"),
        ("nats-server", program(0xF3), r"unknown machine \(0xf3\)"),
    ],
)
def test_what_is_no_server_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    source = tmp_path / name
    source.write_bytes(content)
    with pytest.raises(BadInput, match=message) as refused:
        host_program.find(NATS, str(source), "x86_64", tmp_path / "cache", checksum(source))
    assert "\n" not in str(refused.value)
    assert list((tmp_path / "cache").glob("*/*")) == []


@pytest.mark.parametrize("source", ["https://example.org/nats.zip", "/nowhere/nats-server"])
def test_what_is_no_file_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(BadInput, match=r"download it|no such file"):
        host_program.find(NATS, source, "x86_64", tmp_path)
