"""Money as whole minor units of one currency, and splitting it so that the parts add up to the whole.

Refuses to mix currencies, to guess how many decimals a currency has, and to make or lose a minor unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import TypeVar

from insights.values.exact import decimal_of, rounded_ratio

# ISO 4217, list one, without funds codes, precious metals and the test code.
_DECIMALS_0 = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_DECIMALS_2 = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP
    CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES
    KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK
    NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB
    TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG
"""
_DECIMALS_3 = "BHD IQD JOD KWD LYD OMR TND"
CURRENCY_DECIMALS: Mapping[str, int] = {
    code: decimals
    for decimals, codes in ((0, _DECIMALS_0), (2, _DECIMALS_2), (3, _DECIMALS_3))
    for code in codes.split()
}

_MINOR_UNITS = (1, 10, 100, 1000)

Key = TypeVar("Key", int, str, tuple[str, ...])


class UnknownCurrency(ValueError):
    """The code is not one whose minor unit is known here."""


class MixedCurrencies(ValueError):
    """Two amounts of different currencies cannot be put together."""


class UnableToAllot(ValueError):
    """The total cannot be spread over these parts with less than one minor unit of change in each."""


def currency_decimals(currency: str) -> int:
    """How many decimals the currency's minor unit stands for: USD 2, JPY 0, KWD 3; or UnknownCurrency."""
    try:
        return CURRENCY_DECIMALS[currency]
    except KeyError:
        raise UnknownCurrency(f"{currency!r} is not a currency known here") from None


def minor_of(amount: Fraction | Decimal, currency: str) -> Fraction:
    """An amount in major units as exact minor units: 49.23 USD is 4923."""
    numerator, denominator = amount.as_integer_ratio()
    return Fraction(numerator * _MINOR_UNITS[currency_decimals(currency)], denominator)


def rounded_minor(amount: Fraction, currency: str) -> int:
    """An amount in major units as whole minor units, rounded once, half away from zero."""
    numerator = amount.numerator * _MINOR_UNITS[currency_decimals(currency)]
    return rounded_ratio(numerator, amount.denominator)


@dataclass(frozen=True, slots=True)
class Money:
    """A whole number of minor units of one currency; may be below zero."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        currency_decimals(self.currency)

    @classmethod
    def rounded(cls, amount: Fraction, currency: str) -> Money:
        """The amount in major units, rounded once, half away from zero."""
        return cls(rounded_minor(amount, currency), currency)

    @property
    def amount(self) -> Decimal:
        """The amount in major units, with the currency's decimals: 49.23, 1000, 0.125."""
        return decimal_of(self.minor, currency_decimals(self.currency))

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"

    def __add__(self, other: Money) -> Money:
        self._check_same_currency(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._check_same_currency(other)
        return Money(self.minor - other.minor, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def _check_same_currency(self, other: Money) -> None:
        if self.currency != other.currency:
            raise MixedCurrencies(f"{self.currency} and {other.currency}")


def sum_money(amounts: Iterable[Money], currency: str) -> Money:
    """The sum of amounts that are all of the currency; no amounts are zero of it."""
    total = Money(0, currency)
    for amount in amounts:
        total = total + amount
    return total


def allot(total: int, parts: Mapping[Key, Fraction]) -> dict[Key, int]:
    """Whole minor units for exact parts that add to the total: the largest remainder method.

    Every part is first cut towards zero; the minor units still missing go one each to the parts that lost most,
    the smaller key first among equals. So the outcome does not depend on the order of the parts, mirrors itself
    when every sign is turned, stays within one unit of each part, changes no sign and leaves a zero part zero.
    The total may differ from the parts' sum by up to one, which is what rounding takes; otherwise UnableToAllot.
    """
    # All parts in one unit of which each is a whole number: comparing fractions one by one is slow.
    common = lcm(*(part.denominator for part in parts.values()))
    whole = {key: part.numerator * (common // part.denominator) for key, part in parts.items()}
    return _allot_whole(total, whole, common)


def _allot_whole(total: int, whole: Mapping[Key, int], common: int) -> dict[Key, int]:
    """The same of parts that are given as so many of `common` parts of one."""
    if abs(total * common - sum(whole.values())) > common:
        raise UnableToAllot(f"{total} is not the sum of the parts rounded")
    units = {key: _towards_zero(part, common) for key, part in whole.items()}
    missing = total - sum(units.values())
    if not missing:
        return units
    one = 1 if missing > 0 else -1
    open_keys = [key for key, part in whole.items() if part]
    if abs(missing) > len(open_keys):
        raise UnableToAllot(f"{total} does not fit {len(open_keys)} parts that are not zero")
    by_loss = sorted(open_keys, key=lambda key: (one * (units[key] * common - whole[key]), key))
    for key in by_loss[: abs(missing)]:
        units[key] += one
    return units


def _towards_zero(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator) if numerator < 0 else numerator // denominator


def split(total: int, weights: Mapping[Key, Fraction | int]) -> dict[Key, int]:
    """The total in minor units, split in proportion to the weights; the parts add to the total exactly.

    Raises UnableToAllot when the weights add to zero and there is something to split.
    """
    # Weights as whole numbers: there may be ten thousand, and a fraction of each would take long to make.
    common = lcm(*(weight.denominator for weight in weights.values()))
    units = {key: weight.numerator * (common // weight.denominator) for key, weight in weights.items()}
    whole = sum(units.values())
    if not whole:
        if total:
            raise UnableToAllot(f"{total} cannot be split by weights that add to zero")
        return dict.fromkeys(weights, 0)
    share = total if whole > 0 else -total
    return _allot_whole(total, {key: share * unit for key, unit in units.items()}, abs(whole))
