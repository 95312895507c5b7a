"""Stands in for Hetzner Cloud: a small server that speaks the shapes of its API.

It knows what a lab makes (networks, firewalls, placement groups, SSH keys, servers), refuses to
remove what is in use, and has a limit of servers, as an account has.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KINDS = ("servers", "networks", "firewalls", "placement_groups", "ssh_keys")
CREATED = "2026-01-01T00:00:00+00:00"
LOCATION = {
    "id": 1,
    "name": "fsn1",
    "description": "Falkenstein",
    "country": "DE",
    "city": "Falkenstein",
    "latitude": 50.5,
    "longitude": 12.4,
    "network_zone": "eu-central",
}
DATACENTER = {"id": 1, "name": "fsn1-dc14", "description": "", "location": LOCATION}
SIZES = {"ccx13": (2, 8, "0.0300"), "ccx23": (4, 16, "0.0600")}
IMAGE = {
    "id": 7,
    "name": "debian-13",
    "description": "Debian 13",
    "type": "system",
    "status": "available",
    "architecture": "x86",
    "os_flavor": "debian",
    "os_version": "13",
    "labels": {},
    "created": CREATED,
    "deprecated": None,
    "protection": {"delete": False},
    "disk_size": 5,
    "image_size": None,
    "rapid_deploy": True,
    "bound_to": None,
    "created_from": None,
    "deleted": None,
}


class RefusedError(Exception):
    """An error as the API has it: status, code, message."""


def price(net: str) -> list[dict[str, Any]]:
    each = {"net": net, "gross": net}
    return [{"location": "fsn1", "price_hourly": each, "price_monthly": each}]


def server_type(number: int, name: str) -> dict[str, Any]:
    cores, memory, net = SIZES[name]
    return {
        "id": number,
        "name": name,
        "description": name.upper(),
        "cores": cores,
        "memory": memory,
        "disk": 80,
        "prices": price(net),
        "storage_type": "local",
        "cpu_type": "dedicated",
        "architecture": "x86",
        "deprecated": False,
        "deprecation": None,
        "locations": [{**LOCATION, "deprecation": None}],
    }


def action(command: str) -> dict[str, Any]:
    return {
        "id": 1,
        "command": command,
        "status": "success",
        "progress": 100,
        "started": CREATED,
        "finished": CREATED,
        "resources": [],
        "error": None,
    }


@dataclass
class Project:
    """What there is, by kind and number; `limit` is of servers."""

    url: str = ""
    limit: int = 10
    # Refuses to remove these, by name, as if they were protected.
    protected: set[str] = field(default_factory=set)
    there: dict[str, dict[int, dict[str, Any]]] = field(
        default_factory=lambda: {kind: {} for kind in KINDS}
    )
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(100))

    def names(self) -> dict[str, list[str]]:
        """Names of all that there is, by kind; kinds without any are left out."""
        return {
            kind: sorted(each["name"] for each in them.values())
            for kind, them in self.there.items()
            if them
        }

    def add(self, kind: str, **content: object) -> dict[str, Any]:
        number = next(self.numbers)
        made: dict[str, Any] = {
            "id": number,
            "created": CREATED,
            "protection": {"delete": False, "rebuild": False},
            **content,
        }
        made["labels"] = made.get("labels") or {}
        self.there[kind][number] = made
        return made

    def answer(
        self, method: str, path: str, query: dict[str, str], body: dict[str, Any]
    ) -> dict[str, Any] | None:
        kind, *rest = path.strip("/").split("/")
        if kind == "actions":
            return {"action": action("any")}
        if kind in {"server_types", "images", "locations", "pricing"}:
            return self._catalogue(kind, query)
        if kind not in self.there:
            raise RefusedError(404, "not_found", f"no such resource: {path}")
        if not rest:
            return self._create(kind, body) if method == "POST" else self._list(kind, query)
        found = self.there[kind].get(int(rest[0]))
        if found is None:
            raise RefusedError(404, "not_found", f"{kind} with ID '{rest[0]}' not found")
        if method == "DELETE":
            return self._remove(kind, found)
        if rest[1:] == ["actions", "add_subnet"]:
            found["subnets"].append({"gateway": "10.213.58.1", "vswitch_id": None, **body})
            return {"action": action("add_subnet")}
        if method == "PUT":
            found.update(body)
        return {kind[:-1]: found}

    def _catalogue(self, kind: str, query: dict[str, str]) -> dict[str, Any] | None:
        sizes = [server_type(number, name) for number, name in enumerate(SIZES, 1)]
        if kind == "pricing":
            address = {"type": "ipv4", "prices": price("0.0010")}
            return {"pricing": {"currency": "EUR", "server_types": sizes, "primary_ips": [address]}}
        them = {"server_types": sizes, "images": [IMAGE], "locations": [LOCATION]}[kind]
        return {kind: [each for each in them if query.get("name") in {None, each["name"]}]}

    def _list(self, kind: str, query: dict[str, str]) -> dict[str, Any] | None:
        them = list(self.there[kind].values())
        if "name" in query:
            them = [each for each in them if each["name"] == query["name"]]
        for rule in filter(None, query.get("label_selector", "").split(",")):
            key, _, value = rule.partition("=")
            them = [
                each
                for each in them
                if key in each["labels"] and value in {"", each["labels"][key]}
            ]
        page, size = int(query.get("page", 1)), int(query.get("per_page", 25))
        more = len(them) > page * size
        pagination = {
            "page": page,
            "per_page": size,
            "next_page": page + 1 if more else None,
            "previous_page": None,
            "last_page": -(-len(them) // size) or 1,
            "total_entries": len(them),
        }
        them = them[(page - 1) * size : page * size]
        return {kind: them, "meta": {"pagination": pagination}}

    def _create(self, kind: str, body: dict[str, Any]) -> dict[str, Any] | None:
        if any(each["name"] == body["name"] for each in self.there[kind].values()):
            raise RefusedError(409, "uniqueness_error", "name is already used")
        for key, value in (body.get("labels") or {}).items():
            if not re.fullmatch(r"[\w.-]{0,63}", value) or not re.fullmatch(r"[\w.-]{1,63}", key):
                raise RefusedError(422, "invalid_input", "invalid input in field 'labels'")
        if kind == "servers":
            return self._create_server(body)
        more: dict[str, Any] = {}
        if kind == "networks":
            more = {"subnets": [], "routes": [], "servers": [], "load_balancers": []}
            more["expose_routes_to_vswitch"] = False
        elif kind == "firewalls":
            blank: dict[str, Any] = {
                "source_ips": [],
                "destination_ips": [],
                "port": None,
                "description": None,
            }
            more = {"applied_to": [], "rules": [{**blank, **rule} for rule in body["rules"]]}
        elif kind == "placement_groups":
            more = {"servers": []}
        else:
            key = base64.b64decode(body["public_key"].split()[1])
            plain = hashlib.md5(key, usedforsecurity=False).hexdigest()
            more["fingerprint"] = ":".join(re.findall("..", plain))
        made = self.add(kind, **{**body, **more})
        return {kind[:-1]: made, "actions": [], "action": action("create")}

    def _create_server(self, body: dict[str, Any]) -> dict[str, Any] | None:
        if len(self.there["servers"]) >= self.limit:
            raise RefusedError(403, "resource_limit_exceeded", "server limit reached")
        sizes = list(SIZES)
        size = body["server_type"]
        number = len(self.there["servers"]) + 1
        private = [
            {"network": each, "ip": f"10.213.58.{number + 1}", "alias_ips": [], "mac_address": ""}
            for each in body.get("networks", [])
        ]
        firewalls = [
            {"id": each["firewall"], "status": "applied"} for each in body.get("firewalls", [])
        ]
        group = self.there["placement_groups"].get(body.get("placement_group", 0))
        made = self.add(
            "servers",
            name=body["name"],
            labels=body.get("labels"),
            status="running",
            public_net={
                "ipv4": {"id": 1, "ip": f"203.0.113.{number}", "blocked": False, "dns_ptr": ""},
                "ipv6": None,
                "floating_ips": [],
                "firewalls": firewalls,
            },
            private_net=private,
            server_type=server_type(size, sizes[size - 1])
            if isinstance(size, int)
            else server_type(sizes.index(size) + 1, size),
            datacenter=DATACENTER,
            location=LOCATION,
            image=IMAGE,
            iso=None,
            rescue_enabled=False,
            locked=False,
            backup_window=None,
            volumes=[],
            load_balancers=[],
            placement_group=group,
            ssh_keys=body.get("ssh_keys"),
        )
        return {
            "server": made,
            "action": action("create_server"),
            "next_actions": [],
            "root_password": None,
        }

    def _in_use(self, kind: str, number: int) -> bool:
        for server in self.there["servers"].values():
            group = (server["placement_group"] or {}).get("id")
            walls = [each["id"] for each in server["public_net"]["firewalls"]]
            if (kind == "firewalls" and number in walls) or (
                kind == "placement_groups" and number == group
            ):
                return True
        return False

    def _remove(self, kind: str, found: dict[str, Any]) -> dict[str, Any] | None:
        if found["name"] in self.protected:
            raise RefusedError(423, "protected", f"{kind[:-1]} deletion is protected")
        if self._in_use(kind, found["id"]):
            raise RefusedError(422, "resource_in_use", f"{kind[:-1]} is in use")
        del self.there[kind][found["id"]]
        return {"action": action("delete")} if kind == "servers" else None


@contextmanager
def serve() -> Iterator[Project]:
    """Serve an empty project at its `url`."""
    project, lock = Project(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def _answer(self) -> None:
            asked = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(asked.query).items()}
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            status, content = 200, None
            try:
                if self.headers.get("Authorization") != "Bearer right":
                    raise RefusedError(401, "unauthorized", "unable to authenticate")
                path = asked.path.removeprefix("/v1")
                with lock:
                    content = project.answer(self.command, path, query, body or {})
                status = 204 if content is None else 201 if self.command == "POST" else 200
            except RefusedError as refused:
                status, code, message = refused.args
                content = {"error": {"code": code, "message": message, "details": None}}
            self.send_response(status)
            payload = b"" if content is None else json.dumps(content).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    project.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield project
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
