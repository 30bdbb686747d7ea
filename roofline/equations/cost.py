"""Cost: device hours into money per token, and money per device hour.

Prices are per device and hour, as clouds print them; rates are per second. The 3600 is in the equations.
"""

from roofline.numeric import Num, maximum

__all__ = [
    "attention_cost",
    "byte_price",
    "capital_recovery_factor",
    "flop_price",
    "hourly_cost",
    "rental_cost",
    "return_on_cost",
    "sram_break_even_step",
    "usd_per_million_tokens",
]


def usd_per_million_tokens(devices: Num, price: Num, tokens_per_second: Num) -> Num:
    """The cost of a million tokens.

    Arguments:
        devices : devices paid for, idle ones included [1]
        price : of one device [USD/h]
        tokens_per_second : tokens that all of them produce [1/s]

    Returns the cost of a million tokens [USD].

    Source: Erdil 2025, "Inference economics of language models", arXiv:2506.04645, cost per token.

    >>> usd_per_million_tokens(8, 2, 1882)
    2.36155
    """
    return 10**6 * devices * price / (3600 * tokens_per_second)


def rental_cost(devices: Num, price: Num, hours: Num) -> Num:
    """The cost of renting devices.

    Arguments:
        devices : devices paid for, idle ones included [1]
        price : of one device [USD/h]
        hours : duration [h]

    Returns the cost [USD].

    Source: DeepSeek-AI 2025, open-infra-index, "DeepSeek-V3/R1 Inference System Overview", cost per day.

    >>> rental_cost(1814, 2, 24)
    87072
    """
    return devices * price * hours


def return_on_cost(revenue: Num, cost: Num) -> Num:
    """The profit over the cost.

    Arguments:
        revenue : money earned [USD]
        cost : money spent [USD]

    Returns the ratio [1].

    Source: DeepSeek-AI 2025, open-infra-index, "DeepSeek-V3/R1 Inference System Overview", the 545 %.

    Not a margin, which divides by the revenue and stays below one.

    >>> return_on_cost(300, 100)
    2.0
    """
    return (revenue - cost) / cost


def flop_price(price: Num, peak: Num) -> Num:
    """The cost of one floating-point operation at peak.

    Arguments:
        price : of one device [USD/h]
        peak : dense arithmetic rate of the device [FLOP/s]

    Returns the cost [USD/FLOP].

    Source: StepFun 2025, "Step-3", arXiv:2507.19427, section 4, Table 5 (U_FLOP).

    >>> flop_price(2, 1000)
    5.55556e-07
    """
    return price / (3600 * peak)


def byte_price(price: Num, bandwidth: Num) -> Num:
    """The cost of one byte read at the full memory rate.

    Arguments:
        price : of one device [USD/h]
        bandwidth : memory rate of the device [B/s]

    Returns the cost [USD/B].

    Source: StepFun 2025, "Step-3", arXiv:2507.19427, section 4, Table 5 (U_Byte).

    >>> byte_price(2, 1000)
    5.55556e-07
    """
    return price / (3600 * bandwidth)


def attention_cost(
    attention_flops: Num, kv_traffic: Num, linear_flops: Num, usd_per_flop: Num, usd_per_byte: Num
) -> Num:
    """The cost of the attention part of one token: the dearer of pairs and cache, and the projections.

    Arguments:
        attention_flops : arithmetic of scores and weighted values [FLOP]
        kv_traffic : cache read [B]
        linear_flops : arithmetic of the projections [FLOP]
        usd_per_flop : cost of one floating-point operation [USD/FLOP]
        usd_per_byte : cost of one byte read [USD/B]

    Returns the cost [USD].

    Source: StepFun 2025, "Step-3", arXiv:2507.19427, section 4, Tables 5 and 6.

    The projections' weights are taken to be shared by a large batch, so only their arithmetic is paid.

    >>> attention_cost(10, 4, 2, 1, 3)
    14
    """
    return maximum(attention_flops * usd_per_flop, kv_traffic * usd_per_byte) + linear_flops * usd_per_flop


def capital_recovery_factor(interest: Num, years: Num) -> Num:
    """The share of a loan that equal yearly payments return each year, interest included.

    Arguments:
        interest : yearly rate, above zero [1]
        years : number of yearly payments [1]

    Returns the share of the capital per yearly payment [1].

    Source: Park 2016, "Contemporary Engineering Economics", section 3.4, capital recovery factor (A/P, i, N).

    0/0 without interest, where the share is one over the years.

    >>> capital_recovery_factor(1, 2)
    1.33333
    """
    return interest / (1 - 1 / (1 + interest) ** years)


def hourly_cost(
    capital: Num, recovery: Num, power: Num, pue: Num, electricity: Num, other: Num, utilisation: Num
) -> Num:
    """The cost of a device hour that is sold.

    Arguments:
        capital : price of the device with its share of the system [USD]
        recovery : share of the capital paid back per year [1/year]
        power : mean power of the device [W]
        pue : facility power over device power [1]
        electricity : price of energy [USD/kWh]
        other : staff, space, network, per hour sold [USD/h]
        utilisation : share of the hours that is sold [1]

    Returns the cost [USD/h].

    Source: Barroso, Hoelzle, Ranganathan 2018, "The Datacenter as a Computer", 3rd ed.,
    doi:10.2200/S00874ED3V01Y201809CAC046, chapter 6.

    A year has 8760 hours. Power is taken to be drawn whether the hour is sold or not.

    >>> hourly_cost(35040, 0.25, 1000, 1.5, 0.1, 0, 0.5)
    2.3
    """
    return (capital * recovery / 8760 + power * pue * electricity / 1000) / utilisation + other


def sram_break_even_step(hbm_price: Num, sram_price: Num, sram_capacity: Num, hbm_bandwidth: Num) -> Num:
    """The step time below which SRAM that is full costs less per token than HBM that is bandwidth-bound.

    Arguments:
        hbm_price : of one HBM device [USD/h]
        sram_price : of one SRAM device [USD/h]
        sram_capacity : usable memory of one SRAM device [B]
        hbm_bandwidth : memory rate of one HBM device [B/s]

    Returns the time [s].

    Source: byte prices of StepFun 2025, "Step-3", arXiv:2507.19427, section 4, set against the rent of the capacity;
    prices of Erdil 2025, arXiv:2506.04645, device table.

    The model cancels: its bytes are paid per read on one side and per second held on the other. Needs equal batch, an
    HBM side bound by bandwidth, and an SRAM side whose device count is set by capacity.

    >>> sram_break_even_step(2, 1, 230, 3300)
    0.139394
    """
    return hbm_price / sram_price * sram_capacity / hbm_bandwidth
