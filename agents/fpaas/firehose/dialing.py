"""Connects to whichever address of a host answers first ("happy eyeballs", RFC 8305).

A name often has addresses that lead nowhere, such as IPv6 ones without a route. Tried one after the
other, the first such address costs the whole time-out; uvloop knows no other way.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Iterable

#: The next address gets its turn when those before it have not answered for this long.
HEAD_START_S = 0.25

AddressInfo = tuple[int, int, int, str, tuple[object, ...]]


async def dial(host: str, port: int) -> socket.socket:
    """Return a connected socket. Raises OSError: the host is not known, or no address answers.

    ConnectionRefusedError: nobody listens at any of them.
    """
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host!r} is not a host name: {error}") from error
    waiting = in_turns(infos)
    trying: set[asyncio.Task[socket.socket]] = set()
    errors: list[BaseException] = []
    try:
        while waiting or trying:
            if waiting:
                trying.add(asyncio.ensure_future(_connect(waiting.pop(0))))
            answered, _ = await asyncio.wait(
                trying,
                timeout=HEAD_START_S if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in answered:
                trying.discard(attempt)
                failure = attempt.exception()
                if failure is None:
                    return attempt.result()
                errors.append(failure)
    finally:
        await _give_up(trying)
    refused = bool(errors) and all(isinstance(one, ConnectionRefusedError) for one in errors)
    kind = ConnectionRefusedError if refused else OSError
    raise kind("; ".join(dict.fromkeys(map(str, errors))) or f"{host} has no address")


def in_turns(infos: Iterable[AddressInfo]) -> list[AddressInfo]:
    """Order addresses so that families take turns, the resolver's first one first."""
    by_family: dict[int, list[AddressInfo]] = {}
    for info in infos:
        by_family.setdefault(info[0], []).append(info)
    turns = itertools.zip_longest(*by_family.values())
    return [info for turn in turns for info in turn if info is not None]


async def _connect(info: AddressInfo) -> socket.socket:
    family, kind, protocol, _, address = info
    connecting = socket.socket(family, kind, protocol)
    try:
        connecting.setblocking(False)  # noqa: FBT003
        await asyncio.get_running_loop().sock_connect(connecting, address)
    except BaseException:
        connecting.close()
        raise
    return connecting


async def _give_up(attempts: Iterable[asyncio.Task[socket.socket]]) -> None:
    """Cancel attempts, and close what two of them connected at once."""
    for attempt in attempts:
        attempt.cancel()
    for result in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(result, socket.socket):
            result.close()
