"""Wires: what a bundle of lanes carries, what of a packet is data, how many cables join a node."""

from roofline.numeric import Num

__all__ = [
    "full_mesh_links",
    "lane_bandwidth",
    "payload_fraction",
]


def lane_bandwidth(lanes: Num, line_rate: Num) -> Num:
    """The rate of a bundle of serial lanes in one direction.

    Arguments:
        lanes : lanes of the bundle [1]
        line_rate : bits per second of one lane, after coding where the effective rate is meant [bit/s]

    Returns the rate, one direction [B/s].

    Source: IEEE Std 802.3ck-2022 (one lane of 106.25 Gbit/s carries 100 Gbit/s).

    Product pages print both directions together: twice this.

    >>> lane_bandwidth(4, 100)
    50.0
    """
    return lanes * line_rate / 8


def payload_fraction(payload: Num, packet: Num) -> Num:
    """The share of a packet that is data.

    Arguments:
        payload : data bytes of a packet [B]
        packet : all its bytes [B]

    Returns the share [1].

    Source: Abts et al. 2022, doi:10.1145/3470496.3527405, packet format (320 of 328 bytes).

    >>> payload_fraction(320, 328)
    0.97561
    """
    return payload / packet


def full_mesh_links(ranks: Num) -> Num:
    """The cables that join every rank to every other.

    Arguments:
        ranks : ranks that take part [1]

    Returns the number of cables [1].

    Source: Abts et al. 2022, doi:10.1145/3470496.3527405, node of eight fully connected chips (28 cables).

    >>> full_mesh_links(8)
    28.0
    """
    return ranks * (ranks - 1) / 2
