"""What the synthetic firehose is made of: `bench_firehose_mix`, of 1000 frames."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fpaas.errors import SpecError
from fpaas.spec.values import Variable, integer

WHOLE = 1000
#: As the network has them; ordinary commits are the rest.
NETWORK = {
    "identity": 3,
    "account": 2,
    "sync": 1,
    #: Commits that say that they are too big to be sent, without operations or blocks of the tree.
    "too_big": 0,
    #: Commits of as many operations as are allowed.
    "many_operations": 0,
    #: Commits in frames as large as the event stream specification allows.
    "largest": 0,
}
_SHARE = integer(0, 0, WHOLE, f"frames of {WHOLE}")


@dataclass(frozen=True)
class FrameMix(Variable):
    """The variable: shares by kind, or JSON of them. Kinds left out are as on the network."""

    def read(self, name: str, value: Any) -> Any:  # noqa: ANN401
        """Check it and return what was given; raises SpecError."""
        value = self.structured(name, value)
        if not isinstance(value, Mapping):
            raise SpecError(f"{name}: {value!r} is not allowed; {self.allowed}")
        for kind in value:
            if kind not in NETWORK:
                near = difflib.get_close_matches(str(kind), NETWORK, n=1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise SpecError(
                    f"{name}: {kind}: there is no such kind; {hint}allowed: {', '.join(NETWORK)}"
                )
        shares = {kind: _SHARE.read(f"{name}: {kind}", share) for kind, share in value.items()}
        total = sum({**NETWORK, **shares}.values())
        if total > WHOLE:
            raise SpecError(
                f"{name}: {shares} is not allowed; with the network's share of what is left out "
                f"they are {total} of {WHOLE} frames"
            )
        return shares


MIX = FrameMix({}, "mix", 'allowed: frames of 1000 by kind, like {"too_big": 5, "largest": 1}')
