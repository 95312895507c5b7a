"""`fpaas network`: measures the network between hosts, before a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from fpaas.errors import BadInput
from fpaas.finite import FiniteRange, WholeRange
from fpaas.probe import network

TOKEN_CHARACTERS_MIN = 16

clients_option = click.option(
    "--clients",
    default=1,
    show_default=True,
    type=WholeRange(min=1),
    help="How many hosts measure to the same one.",
)


@click.group(name="network")
def command() -> None:
    """Measure round trips and throughput between hosts.

    Both ends read a token of this one measurement from their standard input.
    """


@command.command()
@click.option("--listen", required=True, metavar="ADDRESS:PORT", help="Where, and nowhere else.")
@clients_option
@click.option(
    "--at-most-s",
    default=30.0,
    show_default=True,
    type=FiniteRange(min=0, max=600),
    help="End then, whether or not all have measured.",
)
@click.option("--detach", is_flag=True, help="Return as soon as it listens, and serve on.")
def serve(listen: str, clients: int, at_most_s: float, *, detach: bool) -> None:
    """Let other hosts measure to this one, one after the other."""
    token = _token()
    listener = network.listen(*network.parse_address(listen))
    if detach and not network.detach():
        return
    served = network.serve(listener, token, clients, at_most_s)
    if detach:
        # Not back into what belongs to the process that was called.
        os._exit(0)
    click.echo(f"{served} of {clients} host(s) measured")


@command.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.argument("peers", nargs=-1, required=True, metavar="NAME=ADDRESS:PORT...")
@click.option("--host", required=True, help="This host's name in the inventory.")
@clients_option
def measure(run_dir: Path, peers: tuple[str, ...], host: str, clients: int) -> None:
    """Measure to hosts that serve, into RUN_DIR/network.json.

    A host that cannot be reached is said there, and on standard output.
    """
    found = [network.Peer.parse(peer) for peer in peers]
    for link in network.measure(run_dir, host, found, _token(), clients):
        if link.error is not None:
            click.echo(f"{link.to}: {link.error}")


def _token() -> bytes:
    token = sys.stdin.readline().strip()
    if len(token) < TOKEN_CHARACTERS_MIN:
        raise BadInput(
            f"standard input: expected a token of at least {TOKEN_CHARACTERS_MIN} characters"
        )
    return token.encode()
