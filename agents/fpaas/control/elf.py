"""Which machine a program is for, by its ELF header."""

from __future__ import annotations

from pathlib import Path

MAGIC = b"\x7fELF"
#: e_machine, at this offset, as `uname -m` calls it.
MACHINE_OFFSET = 18
MACHINES = {0x3E: "x86_64", 0xB7: "aarch64"}


def machine_of(path: Path) -> str | None:
    """Return the machine as `uname -m` calls it; None if it is no program or library."""
    with path.open("rb") as file:
        header = file.read(MACHINE_OFFSET + 2)
    if not header.startswith(MAGIC) or len(header) < MACHINE_OFFSET + 2:
        return None
    number = int.from_bytes(header[MACHINE_OFFSET:], "little")
    return MACHINES.get(number, f"an unknown machine ({number:#x})")
