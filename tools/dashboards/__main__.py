"""Writes the dashboards where the Grafana role has them."""

from __future__ import annotations

from pathlib import Path

from tools.dashboards.boards import ALL
from tools.dashboards.panels import to_json

DIRECTORY = Path(__file__).resolve().parents[2] / "roles" / "grafana" / "files" / "dashboards"


def main() -> None:
    """Write them all."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for board in ALL:
        (DIRECTORY / f"{board.uid}.json").write_text(to_json(board), encoding="utf-8")


if __name__ == "__main__":
    main()
