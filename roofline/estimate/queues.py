"""Waiting in front of several servers: what needs a recurrence and so cannot be one closed equation."""

from __future__ import annotations

from typing import Any

import numpy as np

NEARLY = 1 - 1e-9
"""Share of what servers can take up to which requests are taken to come; at all of it they wait for ever [1]."""
_MOST_SERVERS = 1_000
"""Above this, a queue that is not overloaded hardly waits; the recurrence stops here, which overstates the wait."""


def erlang_c(servers: int, load: Any) -> Any:
    """The probability that a request finds every server busy, at `load` busy servers on average (below `servers`) [1].

    Erlang 1917, by the recurrence of the loss formula: B(c) = load · B(c-1) / (c + load · B(c-1)).

    >>> round(erlang_c(4, 3.0), 9)
    0.509433962
    """
    blocked: Any = 1.0 if np.ndim(load) == 0 else np.ones_like(load)
    for server in range(1, servers + 1):
        blocked = load * blocked / (server + load * blocked)
    busy = load / servers
    return blocked / (1 - busy * (1 - blocked))


def pool_wait(servers: int, rate: Any, service: float, shared: float | None = None) -> Any:
    """The mean wait before `servers` that take `service` seconds for every request, at `rate` random arrivals [s].

    M/M/c after Erlang, halved by Allen and Cunneen's correction for equal service times; exact for one server. Infinite
    where the servers cannot keep up. Where a server takes waiting requests together, down to `shared` seconds for each,
    the chance that all are busy is still that of `service`, but they keep up until rate · `shared` is their number.
    """
    counted = min(servers, _MOST_SERVERS)
    asked = np.asarray(rate * (counted / servers), dtype=float)
    load = asked * (service if shared is None else shared)
    keeps_up = load < counted
    met = np.minimum(np.where(keeps_up, asked * service, 0.0), counted)
    wait = erlang_c(counted, met) * service / (2 * (counted - np.where(keeps_up, load, 0.0)))
    found = np.where(keeps_up, wait, np.inf)
    return found if found.ndim else float(found)
