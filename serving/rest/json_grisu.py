"""The digits of a double by Grisu2 (Florian Loitsch, "Printing floating-point numbers quickly and accurately", 2010).

They read back equal but are not always the fewest or the nearest, so only the algorithm itself prints what RapidJSON
prints. A number is ``f * 2**e`` with 64 bits of ``f``.
"""

import math
from functools import cache

__all__ = ["digits_of"]

_BITS = 64
_MASK = (1 << _BITS) - 1
_HIDDEN = 1 << 52


def digits_of(value: float) -> tuple[str, int]:
    """The digits of a positive finite number and the power of ten of the last."""
    f, e = _split(value)
    upper, e_upper = _normalize(2 * f + 1, e - 1)
    lower, e_lower = (4 * f - 1, e - 2) if f == _HIDDEN else (2 * f - 1, e - 1)
    lower <<= e_lower - e_upper
    power, e_power, k = _power(e_upper)
    middle, _ = _normalize(f, e)
    middle = _multiply(middle, power)
    upper = _multiply(upper, power) - 1
    lower = _multiply(lower, power) + 1
    return _generate(middle, upper, upper - lower, -(e_upper + e_power + _BITS), k)


def _split(value: float) -> tuple[int, int]:
    fraction, exponent = math.frexp(value)
    exponent = max(exponent - 53, -1074)
    return int(math.ldexp(fraction, math.frexp(value)[1] - exponent)), exponent


def _normalize(f: int, e: int) -> tuple[int, int]:
    shift = _BITS - f.bit_length()
    return f << shift, e - shift


def _multiply(a: int, b: int) -> int:
    return (a * b + (1 << 63)) >> _BITS


@cache
def _power(e: int) -> tuple[int, int, int]:
    """A power of ten, one in eight, that brings ``2**e`` into reach; and minus its exponent."""
    index = (math.ceil((-61 - e) * 0.30102999566398114 + 347) >> 3) + 1
    exponent = -348 + 8 * index
    numerator, denominator = (10**exponent, 1) if exponent >= 0 else (1, 10**-exponent)
    shift = _BITS - numerator.bit_length() + denominator.bit_length()
    f = _rounded(numerator, denominator, shift)
    if f > _MASK:
        shift -= 1
        f = _rounded(numerator, denominator, shift)
    return f, -shift, -exponent


def _rounded(numerator: int, denominator: int, shift: int) -> int:
    if shift >= 0:
        numerator <<= shift
    else:
        denominator <<= -shift
    return (2 * numerator + denominator) // (2 * denominator)


def _generate(middle: int, upper: int, delta: int, bits: int, k: int) -> tuple[str, int]:
    """Digits of ``upper`` until the rest is within ``delta``, then down towards ``middle``.

    Args:
        middle: the number itself.
        upper: the largest that still reads as it.
        delta: how far below ``upper`` the smallest is.
        bits: how many bits of the three are a fraction.
        k: power of ten of their units.
    """
    one = 1 << bits
    distance = upper - middle
    whole, part = upper >> bits, upper & (one - 1)
    digits: list[int] = []
    kappa = min(len(str(whole)), 9)
    while kappa > 0:
        kappa -= 1
        digit, whole = divmod(whole, 10**kappa)
        if digit or digits:
            digits.append(digit)
        rest = (whole << bits) + part
        if rest <= delta:
            return _rounded_digits(digits, delta, rest, 10**kappa << bits, distance), k + kappa
    while True:
        part, delta = part * 10 & _MASK, delta * 10 & _MASK
        digit, part = part >> bits, part & (one - 1)
        if digit or digits:
            digits.append(digit)
        kappa -= 1
        if part < delta:
            scaled = distance * 10**-kappa & _MASK if kappa > -9 else 0  # RapidJSON's table of powers ends there
            return _rounded_digits(digits, delta, part, one, scaled), k + kappa


def _rounded_digits(digits: list[int], delta: int, rest: int, unit: int, distance: int) -> str:
    while (
        rest < distance
        and delta - rest >= unit
        and (rest + unit < distance or distance - rest > rest + unit - distance)
    ):
        digits[-1] -= 1
        rest += unit
    return "".join(map(str, digits))
