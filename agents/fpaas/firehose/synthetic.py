"""A firehose from a seed: frames that look, weigh and parse like the network's.

`Synthetic.frame(i)` is a pure function of (seed, i). A pool of templates is drawn once from the
distributions that were measured on the real firehose; frame i is template `i mod POOL` with its
author, seq, rev, since, time and prevData filled in, and with the commit block's CID recomputed,
because rev and author are inside that block. So every CID is a true hash, every operation is
proven by its commit's tree, an account's commits chain (since and prevData name its commit before),
and only the signature is random bytes.
Records and tree nodes repeat every POOL frames, did + rev do not.

Source of the fields: the lexicon com.atproto.sync.subscribeRepos and
https://atproto.com/specs/repository.
"""

from __future__ import annotations

import base64
import functools
import itertools
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from fpaas.firehose import dag_cbor, kept_trees, tid
from fpaas.firehose.account_events import account, identity, sync
from fpaas.firehose.commits import Trees, commit_templates, deck, largest, many_operations, too_big
from fpaas.firehose.dag_cbor import head
from fpaas.firehose.frame_templates import Hole, Template
from fpaas.firehose.record_contents import ACCOUNTS, EPOCH_UNIX_US
from fpaas.spec.frame_mix import NETWORK, WHOLE

FIRST_SEQ = 1
POOL = 2048
#: Length of the cycle of authors; shares no factor with POOL, so that pairs with templates vary.
AUTHOR_CYCLE = 65_521
#: From one frame's rev and time to the next's: the nominal 450 frames/s, whatever the real rate.
SPACING_US = 2222


class Synthetic:
    """An endless source of frames; frame i (i = 0, 1, …) has seq FIRST_SEQ + i.

    `mix` has shares of 1000 frames by kind, if they are to differ from the network's. Who
    `keeps` what takes longest to make finds it at the next start.
    """

    first_seq = FIRST_SEQ
    count: int | None = None

    def __init__(
        self, seed: int, mix: Mapping[str, int] | None = None, *, keeps: bool = False
    ) -> None:
        rng = random.Random(seed)
        shares = {**NETWORK, **(mix or {})}
        path = kept_trees.path_of(seed, shares) if keeps else None
        known = kept_trees.read(path) if path else None
        trees = Trees(known)
        self._templates = _templates(rng, shares, trees)
        if path and known is None:
            kept_trees.write(path, trees.made)
        self._authors, self._gaps = _author_cycle(rng)
        self._second = -1
        self._second_text = ""

    def frame(self, index: int, shift: int = 0) -> bytes:
        """Return frame `index`, the same bytes every time, with seq FIRST_SEQ + index + shift."""
        template = self._templates[index % POOL]
        unix_us = EPOCH_UNIX_US + index * SPACING_US
        previous, link = self._previous_commit(index)
        return template.render(
            Hole(
                head(dag_cbor.UINT, FIRST_SEQ + index + shift),
                self._authors[index % AUTHOR_CYCLE],
                tid.encode(unix_us << tid.CLOCK_ID_BITS).encode(),
                tid.encode(EPOCH_UNIX_US + previous * SPACING_US << tid.CLOCK_ID_BITS).encode(),
                self._time(unix_us),
                link,
                index // POOL,
            )
        )

    def bytes_mean(self) -> float:
        """Return the mean size of a frame."""
        return sum(len(self.frame(index)) for index in range(POOL)) / POOL

    def ignored(self, count: int) -> int:  # noqa: ARG002
        """Tell how many of the first `count` frames are no events: none."""
        return 0

    def _previous_commit(self, index: int) -> tuple[int, bytes]:
        """Find the author's commit before: its index (below 0 before the start) and its tree."""
        while True:
            index -= self._gaps[index % AUTHOR_CYCLE]
            link = self._templates[index % POOL].link
            if link is not None:
                return index, link

    def _time(self, unix_us: int) -> bytes:
        second, us = divmod(unix_us, 1_000_000)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second_text}.{us // 1000:03d}Z".encode()


def _templates(rng: random.Random, mix: Mapping[str, int], trees: Trees) -> list[Template]:
    kinds = deck(rng, POOL, {"commit": WHOLE - sum(mix.values()), **mix})
    trees.draw_keys(rng)
    commits = commit_templates(rng, trees, kinds.count("commit"))
    accounts = itertools.count()
    account_count = kinds.count("account")
    # One is megabytes long.
    largest_once = functools.cache(lambda: largest(rng, trees))
    makers: dict[str, Callable[[], Template]] = {
        "commit": lambda: next(commits),
        "identity": lambda: identity(rng),
        "account": lambda: account(next(accounts), account_count),
        "sync": lambda: sync(rng),
        "too_big": lambda: too_big(rng),
        "many_operations": lambda: many_operations(rng, trees),
        "largest": largest_once,
    }
    return [makers[kind]() for kind in kinds]


def _author_cycle(rng: random.Random) -> tuple[list[bytes], list[int]]:
    """Draw who speaks when: the DIDs, and how many frames ago each one spoke before.

    A few accounts speak often and most rarely (Zipf's law with its head cut off).
    """
    dids = [b"did:plc:" + base64.b32encode(rng.randbytes(15)).lower() for _ in range(ACCOUNTS)]
    weights = [1 / (rank + 50) ** 0.8 for rank in range(ACCOUNTS)]
    authors = rng.choices(range(ACCOUNTS), weights, k=AUTHOR_CYCLE)
    last_seen: dict[int, int] = {}
    gaps = [0] * AUTHOR_CYCLE
    for position in range(2 * AUTHOR_CYCLE):
        author = authors[position % AUTHOR_CYCLE]
        gaps[position % AUTHOR_CYCLE] = position - last_seen.get(author, position)
        last_seen[author] = position
    return [dids[author] for author in authors], gaps
