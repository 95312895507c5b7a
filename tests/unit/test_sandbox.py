"""Which directives of a unit keep it from starting."""

from __future__ import annotations

import pytest

from tests.support.plugin_modules import load

check_sandbox = load("modules/check_sandbox.py")
UNIT = """
[Unit]
Description=x
[Service]
Type=exec
# Comment=
ExecStart="/bin/x"
User=fpaas
PrivateUsers=yes
ProtectProc=invisible
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
[Install]
WantedBy=multi-user.target
"""


def test_sandbox_is_read_from_the_unit() -> None:
    assert check_sandbox.sandbox_of(UNIT) == {
        "User": ["User=fpaas"],
        "PrivateUsers": ["PrivateUsers=yes"],
        "ProtectProc": ["ProtectProc=invisible"],
        "SystemCallFilter": ["SystemCallFilter=@system-service", "SystemCallFilter=~@privileged"],
    }


@pytest.mark.parametrize(
    ("impossible", "named"),
    [
        ([], []),
        ([{"PrivateUsers"}], ["PrivateUsers"]),
        ([{"PrivateUsers"}, {"ProtectProc"}], ["PrivateUsers", "ProtectProc"]),
        # Either of them works without the other.
        ([{"PrivateUsers", "ProtectProc"}], ["PrivateUsers", "ProtectProc"]),
        ([set()], ["PrivateUsers", "ProtectProc", "SystemCallFilter"]),
    ],
)
def test_what_is_to_blame(impossible: list[set[str]], named: list[str]) -> None:
    def starts(lines: list[str]) -> bool:
        assert "User=fpaas" in lines
        names = {line.partition("=")[0] for line in lines}
        return not any(together <= names for together in impossible)

    assert check_sandbox.to_blame(check_sandbox.sandbox_of(UNIT), starts) == named
