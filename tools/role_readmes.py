"""Writes each role's README.md from its meta/: `python -m tools.role_readmes`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

CHECKOUT = Path(__file__).resolve().parents[1]
MADE = "<!-- Made by `make readmes` from meta/; a test holds them in step. -->"


def readme(role: Path) -> str:
    """Return what a role's README.md has to say."""
    about = _load(role / "meta" / "main.yml")
    entries = _load(role / "meta" / "argument_specs.yml")["argument_specs"]
    needs = [dependency["role"] for dependency in about["dependencies"]]
    tunables = _load(CHECKOUT / "group_vars" / "all.yml").keys()
    parts = [
        f"# {role.name}",
        MADE,
        f"{about['galaxy_info']['description'].rstrip('.')}.",
        "\n".join(_example(role.name, entries, tunables)),
    ]
    if needs:
        parts.append("Depends on " + ", ".join(f"`{name}`" for name in needs) + ".")
    for name, entry in entries.items():
        parts += [f"## `{name}`: {_sentence(entry['short_description'])}", *_texts(entry)]
        if entry.get("options"):
            rows = [_row(option, said, tunables) for option, said in entry["options"].items()]
            header = ["| variable | type | default | meaning |", "|---|---|---|---|"]
            parts.append("\n".join([*header, *rows]))
    return "\n\n".join(parts) + "\n"


def _load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def _example(role: str, entries: dict[str, Any], tunables: Collection[str]) -> list[str]:
    entry = "main" if "main" in entries else next(iter(entries))
    name = f"fpaas.bench_lab.{role}"
    where = f"{{name: {name}}}" if entry == "main" else f"{{name: {name}, tasks_from: {entry}}}"
    lines = ["```yaml", f"- ansible.builtin.import_role: {where}"]
    options = entries[entry].get("options", {})
    required = [one for one, said in options.items() if _is_required(one, said, tunables)]
    if required:
        lines.append(f"  vars: {{{', '.join(f'{one}: …' for one in required)}}} # required")
    return [*lines, "```"]


def _is_required(name: str, said: dict[str, Any], tunables: Collection[str]) -> bool:
    """Whether nothing has a value for a variable but the play."""
    return bool(said.get("required")) and "default" not in said and name not in tunables


def _texts(entry: dict[str, Any]) -> list[str]:
    said = entry.get("description", [])
    return [_sentence(text) for text in ([said] if isinstance(said, str) else said)]


def _row(name: str, said: dict[str, Any], tunables: Collection[str]) -> str:
    default = f"`{said['default']!r}`" if "default" in said else ""
    if said.get("required") and not default:
        is_needed = _is_required(name, said, tunables)
        default = "required" if is_needed else "group_vars/all.yml, or the play"
    choices = f" One of {', '.join(map(str, said['choices']))}." if "choices" in said else ""
    cells = (f"`{name}`", said["type"], default, _sentence(said["description"]) + choices)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _sentence(text: str) -> str:
    """Ansible's C(x) is Markdown's `x`."""
    joined = " ".join(text.split())
    while "C(" in joined:
        before, _, rest = joined.partition("C(")
        inside, _, after = rest.partition(")")
        joined = f"{before}`{inside}`{after}"
    return joined


def roles() -> list[Path]:
    """Return the roles' directories."""
    return sorted(path.parents[1] for path in CHECKOUT.glob("roles/*/meta/argument_specs.yml"))


def main() -> None:
    """Write all of them."""
    for role in roles():
        (role / "README.md").write_text(readme(role), encoding="utf-8")


if __name__ == "__main__":
    main()
