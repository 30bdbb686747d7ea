"""Energy: what arithmetic, traffic and time cost in joules.

Energies add where times overlap: there is no maximum here, and the energy roofline has no corner.
"""

from roofline.numeric import Num

__all__ = [
    "device_energy",
    "energy_balance",
    "idle_break_even_step",
    "roofline_energy",
    "streaming_energy",
]


def device_energy(power: Num, devices: Num, time: Num) -> Num:
    """The energy that devices draw over a time.

    Arguments:
        power : mean power of one device [W]
        devices : devices that are switched on, idle ones included [1]
        time : duration [s]

    Returns the energy [J].

    Source: MLPerf Inference power rules, Tschand et al. 2024, arXiv:2410.12032, section III.

    >>> device_energy(700, 8, 2)
    11200
    """
    return power * devices * time


def roofline_energy(
    flops: Num, traffic: Num, energy_per_flop: Num, energy_per_byte: Num, static_power: Num, time: Num
) -> Num:
    """The energy of an operation: arithmetic, traffic, and the power drawn while it lasts.

    Arguments:
        flops : arithmetic of the operation [FLOP]
        traffic : bytes the operation moves to and from memory [B]
        energy_per_flop : energy of one floating-point operation [J/FLOP]
        energy_per_byte : energy of one byte moved [J/B]
        static_power : power drawn whatever is done [W]
        time : duration of the operation [s]

    Returns the energy [J].

    Source: Choi, Bedard, Fowler, Vuduc 2013, "A Roofline Model of Energy", doi:10.1109/IPDPS.2013.77, section II.

    A sum, never a maximum.

    >>> roofline_energy(10, 4, 2, 5, 3, 1)
    43
    """
    return flops * energy_per_flop + traffic * energy_per_byte + static_power * time


def energy_balance(energy_per_byte: Num, energy_per_flop: Num) -> Num:
    """The arithmetic intensity at which arithmetic and traffic take the same energy.

    Arguments:
        energy_per_byte : energy of one byte moved [J/B]
        energy_per_flop : energy of one floating-point operation [J/FLOP]

    Returns the arithmetic intensity [FLOP/B].

    Source: Choi, Bedard, Fowler, Vuduc 2013, doi:10.1109/IPDPS.2013.77, section II (energy balance).

    Not the ridge point: a kernel may be fast and still spend most of its energy on traffic.

    >>> energy_balance(60, 2)
    30.0
    """
    return energy_per_byte / energy_per_flop


def streaming_energy(traffic: Num, energy_per_bit: Num) -> Num:
    """The energy to read bytes from a memory.

    Arguments:
        traffic : bytes read [B]
        energy_per_bit : energy of one bit read [J/bit]

    Returns the energy [J].

    Source: O'Connor et al. 2017, "Fine-Grained DRAM", doi:10.1145/3123939.3124545, section 2 (energy per bit of HBM).

    Memories are quoted per bit and traffic is counted in bytes: the eight is in here.

    >>> streaming_energy(70550, 6)
    3386400
    """
    return 8 * traffic * energy_per_bit


def idle_break_even_step(
    traffic: Num, hbm_energy_per_bit: Num, sram_energy_per_bit: Num, idle_power: Num, devices: Num
) -> Num:
    """The step time at which the idle power of many SRAM devices has eaten what their cheaper reads save.

    Arguments:
        traffic : bytes read per step [B]
        hbm_energy_per_bit : energy of one bit read from HBM [J/bit]
        sram_energy_per_bit : energy of one bit read from SRAM [J/bit]
        idle_power : power of one SRAM device beyond its reads [W]
        devices : SRAM devices that hold the model [1]

    Returns the time [s].

    Source: Choi, Bedard, Fowler, Vuduc 2013, doi:10.1109/IPDPS.2013.77, section II (constant power against
    traffic), solved for the time.

    Slower steps than this spend more energy on SRAM. The HBM devices' own idle power is left out, which favours HBM.

    >>> idle_break_even_step(1000, 6, 1, 50, 8)
    100.0
    """
    saving = streaming_energy(traffic, hbm_energy_per_bit) - streaming_energy(traffic, sram_energy_per_bit)
    return saving / device_energy(idle_power, devices, 1)
