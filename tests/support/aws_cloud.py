"""Stands in for AWS: moto's server, with Debian's images, and a limit of instances.

Placement groups, which moto does not know, are played here.
"""

from __future__ import annotations

import io
import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

REGION = "eu-central-1"
#: The newest is to be taken.
IMAGES = [
    {
        "ami_id": f"ami-{number:08x}",
        "name": f"debian-13-amd64-2025{month}01-1",
        "description": "Debian 13",
        "owner_id": "136693071363",
        "public": True,
        "virtualization_type": "hvm",
        "architecture": "x86_64",
        "state": "available",
        "platform": "Linux/UNIX",
        "image_type": "machine",
        "hypervisor": "xen",
        "root_device_name": "/dev/xvda",
        "root_device_type": "ebs",
        "sriov": "simple",
        "creation_date": f"2025-{month}-01T00:00:00.000Z",
    }
    for number, month in ((2, "11"), (1, "09"))
]
TOO_MANY = b"""<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>VcpuLimitExceeded</Code><Message>more vCPUs than your limit
allows</Message></Error></Errors><RequestID>1</RequestID></Response>"""


ANSWER = '<Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">{}</Response>'


@dataclass
class Account:
    """The server's address, and how many times instances may be launched; null: no limit."""

    url: str = ""
    launches: int | None = None
    plays_placement_groups: bool = True
    #: The requests that launched instances.
    launched: list[dict[str, str]] = field(default_factory=list)
    #: By name, the tags.
    placement_groups: dict[str, dict[str, str]] = field(default_factory=dict)

    def placement(self, asked: dict[str, str]) -> str:
        """Answer a request about placement groups."""
        name = asked.get("GroupName", "")
        if asked["Action"] == "DeletePlacementGroup":
            del self.placement_groups[name]
            return ANSWER.format("<return>true</return>")
        tag = "TagSpecification.1.Tag"
        if asked["Action"] == "CreatePlacementGroup":
            self.placement_groups[name] = {
                asked[f"{tag}.{number}.Key"]: asked[f"{tag}.{number}.Value"]
                for number in range(1, 9)
                if f"{tag}.{number}.Key" in asked
            }
        shown = "".join(self._shown(each) for each in self.placement_groups)
        if asked["Action"] == "CreatePlacementGroup":
            only = self._shown(name).removeprefix("<item>").removesuffix("</item>")
            return ANSWER.format(f"<placementGroup>{only}</placementGroup>")
        return ANSWER.format(f"<placementGroupSet>{shown}</placementGroupSet>")

    def _shown(self, name: str) -> str:
        tags = "".join(
            f"<item><key>{key}</key><value>{value}</value></item>"
            for key, value in self.placement_groups[name].items()
        )
        return (
            f"<item><groupName>{name}</groupName><strategy>cluster</strategy>"
            f"<state>available</state><groupId>pg-1</groupId><tagSet>{tags}</tagSet></item>"
        )

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, region: str = REGION) -> Any:  # noqa: ANN401
        import boto3  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415

        return boto3.client(
            "ec2",
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


@contextmanager
def serve(directory: Path) -> Iterator[Account]:
    """Serve an account without anything in it but what every account has."""
    images = directory / "images.json"
    images.write_text(json.dumps(IMAGES))
    # Read when moto is imported.
    os.environ["MOTO_AMIS_PATH"] = str(images)
    from moto.moto_server import werkzeug_app  # noqa: PLC0415
    from werkzeug.serving import make_server  # noqa: PLC0415

    account = Account()
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    moto = werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app)

    def limited(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        fields = parse_qs(body.decode(errors="replace"))
        asked = {key: values[0] for key, values in fields.items()}
        if "PlacementGroup" in asked.get("Action", "") and account.plays_placement_groups:
            start("200 OK", [("Content-Type", "text/xml")])
            return [account.placement(asked).encode()]
        if asked.get("Action") == "RunInstances":
            if account.launches == 0:
                start("400 Bad Request", [("Content-Type", "text/xml")])
                return [TOO_MANY]
            account.launches = account.launches and account.launches - 1
            account.launched.append(asked)
        answer: Iterable[bytes] = moto(environ, start)
        return answer

    server = make_server("127.0.0.1", 0, limited, threaded=True)
    account.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield account
    finally:
        server.shutdown()
        thread.join()
