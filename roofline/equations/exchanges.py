"""Collectives on wires that join every rank to every other directly: one message latency, whatever the ranks.

`size` is the full buffer of one rank, `bandwidth` one direction of one rank, `latency` that of one message.
"""

from roofline.numeric import Num

__all__ = ["direct_all_gather", "direct_all_to_all", "mesh_bandwidth"]


def mesh_bandwidth(bandwidth: Num, ranks: Num, domain: Num) -> Num:
    """The rate of one rank where a full mesh of wires joins a domain and only some of its devices take part.

    Arguments:
        bandwidth : one direction of one device over all its wires [B/s]
        ranks : ranks that take part [1]
        domain : devices that the mesh joins [1]

    Returns the rate of the wires that lead to other ranks [B/s].

    Source: AMD, "Instinct MI300X system acceptance guide", xGMI topology: each pair of eight GPUs has a wire of its
    own, so two GPUs exchange at a seventh of what one GPU has.

    >>> mesh_bandwidth(448, 2, 8)
    64.0
    """
    return bandwidth * (ranks - 1) / (domain - 1)


def direct_all_gather(size: Num, ranks: Num, bandwidth: Num, latency: Num) -> Num:
    """The time for every rank to read every other rank's share at once; a reduce-scatter costs the same.

    Arguments:
        size : the gathered buffer [B]
        ranks : ranks that take part [1]
        bandwidth : one direction of one rank [B/s]
        latency : per message [s]

    Returns the time [s].

    Source: Thakur, Rabenseifner, Gropp 2005, doi:10.1177/1094342005051521, section 4.1 (the bytes of a ring), with the
    rounds of a ring made at the same time.

    >>> direct_all_gather(8, 4, 2, 1)
    4.0
    """
    return latency + (ranks - 1) / ranks * size / bandwidth


def direct_all_to_all(size: Num, ranks: Num, bandwidth: Num, latency: Num) -> Num:
    """The time for every rank to send a different block to every other, all at once.

    Arguments:
        size : the buffer of one rank, all blocks together [B]
        ranks : ranks that take part [1]
        bandwidth : one direction of one rank [B/s]
        latency : per message [s]

    Returns the time [s].

    Source: Thakur, Rabenseifner, Gropp 2005, doi:10.1177/1094342005051521, section 4.3 (pairwise exchange), with the
    rounds made at the same time.

    A rank keeps its own block, so only (ranks - 1) / ranks of the buffer crosses.

    >>> direct_all_to_all(8, 4, 2, 1)
    4.0
    """
    return latency + (ranks - 1) / ranks * size / bandwidth
