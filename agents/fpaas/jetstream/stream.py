"""Creates a run's stream and durables, every limit explicit, and checks what the server made of it.

Provisioning is not the load, so it goes through nats-py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, ConsumerInfo, StreamConfig
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from fpaas.errors import BadInput, RunInvalid
from fpaas.jetstream import asked
from fpaas.jetstream.asked import Durable
from fpaas.jetstream.nats_address import NatsAddress, address_from_environment
from fpaas.spec import RunSpec

log = logging.getLogger(__name__)

T = TypeVar("T")

WAIT_FOR_NATS_S = 10.0
#: Servers that have just started take seconds to elect who leads them.
WAIT_FOR_CLUSTER_S = 20.0
CLUSTER_RETRY_S = 0.5
#: Until they have, none of them answers at all.
CLUSTER_ANSWER_S = 2.0
API_TIMEOUT_S = 15.0
#: Per-consumer limits, `no_wait` pulls that answer at once and multi-token filters date from 2.10.
OLDEST_SERVER = (2, 10)
CREATE_CONCURRENCY = 128
#: Error code of the JetStream API: another stream has these subjects.
SUBJECTS_OVERLAP = 10065
#: … too few servers for the replicas; no leader yet, or none just now.
NO_SUITABLE_PEERS = 10005
NOT_AVAILABLE = (10008, 10009)


def stream_config(spec: RunSpec, number: int = 0) -> StreamConfig:
    """Return a stream as the run wants it."""
    config: StreamConfig = StreamConfig.from_response(asked.stream(spec, number))
    return config


def durable_config(spec: RunSpec, durable: Durable) -> ConsumerConfig:
    """Return a durable as the run wants it."""
    config: ConsumerConfig = ConsumerConfig.from_response(asked.durable(spec, durable))
    return config


def differences(asked: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """Name the limits that a server's echo has otherwise than asked; durations within 1 µs."""
    found = []
    for name, value in asked.items():
        answer = got.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            same = answer == value or (not answer and not value)
        else:
            same = abs((answer or 0) - value) <= 1000 if abs(value) > 10**6 else answer == value
        if not same:
            found.append(f"{name}: asked {value!r}, got {answer!r}")
    return found


@asynccontextmanager
async def jetstream(url: str, wait_s: float = WAIT_FOR_NATS_S) -> AsyncIterator[JetStreamContext]:
    """Connect to a server that is fit for runs, waiting for it for `wait_s`.

    Raises RunInvalid if it does not answer, is too old, or has no JetStream; BadInput if the
    URL is none.
    """
    try:
        address = address_from_environment(url)
    except ValueError as error:
        raise BadInput(str(error)) from error
    client = await _connect(address, wait_s)
    try:
        version = client.connected_server_version
        if (version.major, version.minor) < OLDEST_SERVER:
            raise RunInvalid(
                f"nats-server at {address} is {version}; the lab needs "
                f"{'.'.join(map(str, OLDEST_SERVER))} or newer"
            )
        context = client.jetstream(timeout=API_TIMEOUT_S)
        try:
            if len(address.servers) > 1:
                await _patiently(client.jetstream(timeout=CLUSTER_ANSWER_S).account_info)
            else:
                await context.account_info()
        except (ServiceUnavailableError, nats.errors.TimeoutError) as error:
            raise RunInvalid(
                f"JetStream does not answer on the nats-server at {address}: enable it there "
                "(`jetstream {}` in its configuration), for this account"
                + ("; most of the cluster's servers must be up" if len(address.servers) > 1 else "")
            ) from error
        yield context
    finally:
        await client.close()


async def _connect(address: NatsAddress, wait_s: float) -> Client:
    last_error: Exception | None = None

    async def note(error: Exception) -> None:
        nonlocal last_error
        last_error = error

    try:
        async with asyncio.timeout(wait_s):
            # A server that does not listen yet is tried again and again inside nats-py.
            return await nats.connect(
                address.urls,
                user=address.user,
                password=address.password,
                tls=address.tls,
                name="fpaas-provision",
                reconnect_time_wait=0.25,
                max_reconnect_attempts=-1,
                allow_reconnect=False,
                error_cb=note,
            )
    except (OSError, TimeoutError, nats.errors.Error) as error:
        cause = last_error or error
        raise RunInvalid(
            f"cannot connect to NATS at {address} in {wait_s:g} s: "
            f"{str(cause) or type(cause).__name__}; is nats-server running there?"
        ) from error


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Call until the cluster has enough servers, for WAIT_FOR_CLUSTER_S; then raise its error."""
    deadline = asyncio.get_running_loop().time() + WAIT_FOR_CLUSTER_S
    while True:
        try:
            return await call()
        except (APIError, nats.errors.TimeoutError) as error:
            passing = (
                isinstance(error, ServiceUnavailableError | nats.errors.TimeoutError)
                or error.err_code == NO_SUITABLE_PEERS
                or error.err_code in NOT_AVAILABLE
            )
            if not passing or asyncio.get_running_loop().time() >= deadline:
                raise
        await asyncio.sleep(CLUSTER_RETRY_S)


async def create_streams(context: JetStreamContext, spec: RunSpec) -> None:
    """Delete what an earlier run left, and create the run's streams. Raises RunInvalid."""
    for name in dict.fromkeys([*spec.stream.names, *await leftovers(context, spec)]):
        await remove_stream(context, name)
    for number in range(spec.stream.count):
        await _create_stream(context, spec, number)


async def leftovers(context: JetStreamContext, spec: RunSpec) -> list[str]:
    """Name the streams of an earlier run that are there; it may have had more of them, or fewer.

    Raises RunInvalid.
    """
    found: list[str] = []
    own = re.compile(rf"{re.escape(spec.stream.name)}(_\d\d)?")
    try:
        while page := await context.streams_info(offset=len(found)):
            found += [str(info.config.name) for info in page]
    except (APIError, nats.errors.TimeoutError) as error:
        raise RunInvalid(f"cannot list the streams that are there: {error}") from error
    return [name for name in found if own.fullmatch(name)]


async def _create_stream(context: JetStreamContext, spec: RunSpec, number: int) -> None:
    name = spec.stream.name_of(number)
    wanted = stream_config(spec, number)
    try:
        if spec.stream.replicas > 1:
            info = await _patiently(lambda: context.add_stream(wanted))
        else:
            info = await context.add_stream(wanted)
    except APIError as error:
        hint = ""
        if error.err_code == NO_SUITABLE_PEERS:
            hint = (
                f"; {spec.stream.replicas} replicas need as many servers of the cluster with room "
                "for it: is one of them down?"
            )
        if error.err_code == SUBJECTS_OVERLAP:
            hint = f"; delete the other stream that has {', '.join(spec.stream.subjects)}"
        raise RunInvalid(
            f"the server refused stream {name}: {error.description} (err {error.err_code}){hint}"
        ) from error
    except nats.errors.TimeoutError as error:
        raise RunInvalid(
            f"no answer to the creation of stream {name} in {API_TIMEOUT_S:g} s"
        ) from error
    changed = differences(wanted.as_dict(), info.config.as_dict())
    if changed:
        raise RunInvalid(f"the server changed stream {name}: {'; '.join(changed)}")


async def provision(
    context: JetStreamContext,
    spec: RunSpec,
    on_progress: Callable[[int], None] = lambda _done: None,
) -> int:
    """Create a run's streams and durables, every limit explicit; returns how many durables.

    Raises RunInvalid with the cause.
    """
    await create_streams(context, spec)
    durables = asked.durables_of(spec, range(spec.consumers.count))
    await create_durables(context, spec, durables, on_progress)
    return len(durables)


async def described(context: JetStreamContext, spec: RunSpec) -> str | None:
    """Say what an earlier run's streams hold; None if there are none, or none that answers."""
    held = []
    try:
        for name in await leftovers(context, spec):
            state = (await context.stream_info(name)).state
            held.append(
                f"stream {name}, {state.messages} messages, {state.consumer_count} consumers"
            )
    except (RunInvalid, APIError, nats.errors.TimeoutError):
        return None
    return "; ".join(held) or None


async def remove_stream(context: JetStreamContext, name: str) -> None:
    """Delete a stream with its durables; it need not exist. Raises RunInvalid."""
    try:
        await context.delete_stream(name)
    except NotFoundError:
        return
    except (APIError, nats.errors.TimeoutError) as error:
        raise RunInvalid(f"cannot delete stream {name}: {error}") from error


async def create_durables(
    context: JetStreamContext,
    spec: RunSpec,
    durables: list[Durable],
    on_progress: Callable[[int], None] = lambda _done: None,
) -> None:
    """Create durables, many at once; `on_progress` is told how many there are so far.

    Raises RunInvalid that names the durable and the server's reason.
    """
    queue = iter(durables)
    done = 0

    async def create_some() -> None:
        nonlocal done
        for durable in queue:
            await _create_durable(context, spec, durable)
            done += 1
            on_progress(done)

    tasks = [asyncio.create_task(create_some()) for _ in range(CREATE_CONCURRENCY)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _create_durable(context: JetStreamContext, spec: RunSpec, durable: Durable) -> None:
    wanted = durable_config(spec, durable)

    def add() -> Awaitable[ConsumerInfo]:
        return context.add_consumer(durable.stream, wanted)

    try:
        try:
            info = await add()
        except nats.errors.TimeoutError:
            # A cluster that changes its leader may lose a request; another makes the same.
            info = await add()
    except APIError as error:
        raise RunInvalid(
            f"the server refused durable {durable.name}: {error.description} (err {error.err_code})"
        ) from error
    except nats.errors.TimeoutError as error:
        raise RunInvalid(
            f"no answer to the creation of durable {durable.name} in {2 * API_TIMEOUT_S:g} s"
        ) from error
    got = info.config.as_dict() if info.config else {}
    changed = differences(wanted.as_dict(), got)
    if changed:
        raise RunInvalid(f"the server changed durable {durable.name}: {'; '.join(changed)}")


async def missing_durables(context: JetStreamContext, durables: list[Durable]) -> list[Durable]:
    """Return those that their stream does not have. Raises RunInvalid if there is no stream."""
    present: set[str] = set()
    stream = ""
    try:
        for stream in dict.fromkeys(durable.stream for durable in durables):
            offset = 0
            while page := await context.consumers_info(stream, offset=offset):
                present.update(info.name for info in page)
                offset += len(page)
    except NotFoundError as error:
        raise RunInvalid(
            f"there is no stream {stream}; create it: `fpaas plan --output run.json` and "
            "`fpaas provision --run run.json`"
        ) from error
    except (APIError, nats.errors.TimeoutError) as error:
        raise RunInvalid(f"cannot list the durables of stream {stream}: {error}") from error
    return [durable for durable in durables if durable.name not in present]


async def remove_durables(context: JetStreamContext, durables: list[Durable]) -> None:
    """Delete durables, many at once; those that are gone already are as good."""
    queue = iter(durables)

    async def remove_some() -> None:
        for durable in queue:
            with contextlib.suppress(NotFoundError):
                await context.delete_consumer(durable.stream, durable.name)

    await asyncio.gather(*(remove_some() for _ in range(CREATE_CONCURRENCY)))
