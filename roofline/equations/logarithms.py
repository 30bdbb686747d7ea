"""Natural logarithms and powers, made of binary ones so that sizes and depths share one helper.

The natural logarithm of two is written as a whole number over a power of ten, good to eighteen digits: equations hold
no decimal fractions, so that exact numbers stay exact.
"""

from roofline.numeric import Num, log2

__all__ = ["natural_logarithm", "natural_of_binary", "natural_power"]


def natural_of_binary(logarithm: Num) -> Num:
    """A logarithm to base e, from the same logarithm to base two.

    Arguments:
        logarithm : logarithm to base two [1]

    Returns the logarithm to base e [1].

    Source: Abramowitz, Stegun 1964, "Handbook of Mathematical Functions", section 4.1 and Table 1.1 (ln 2).

    >>> natural_of_binary(1)
    0.693147
    """
    return logarithm / 10**18 * 693147180559945309


def natural_logarithm(value: Num) -> Num:
    """The logarithm to base e.

    Arguments:
        value : a positive number [1]

    Returns the logarithm [1].

    Source: Abramowitz, Stegun 1964, "Handbook of Mathematical Functions", section 4.1.

    >>> natural_logarithm(8)
    2.07944
    """
    return natural_of_binary(log2(value))


def natural_power(exponent: Num) -> Num:
    """The number e to a power.

    Arguments:
        exponent : the power [1]

    Returns e to that power [1].

    Source: Abramowitz, Stegun 1964, "Handbook of Mathematical Functions", section 4.2.

    >>> natural_power(-1)
    0.367879
    """
    return 2 ** (exponent * 10**18 / 693147180559945309)
