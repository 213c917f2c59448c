"""How old a stored answer is and how long it stays fresh (RFC 9111 4.2). Times are seconds.

Dates are parsed here and not by the standard library: ``email.utils`` takes anything that looks
like a date, and RFC 9111 5.3 wants what is none to be in the past.
"""

import re
from collections.abc import Sequence
from typing import Final

from route_addon.core.cache_control import MAX_SECONDS, Directives, parse_seconds

_MONTHS = {
    month: number
    for number, month in enumerate(
        b"jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1
    )
}
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_TIME = rb"([0-9]{2}):([0-9]{2}):([0-9]{2})"
_MONTH = rb"(%b)" % b"|".join(_MONTHS)
_DAY = rb"(?:mon|tue|wed|thu|fri|sat|sun)"
_LONG_DAY = rb"(?:mon|tues|wednes|thurs|fri|satur|sun)day"

# RFC 9111 4.2: dates are compared in any case, although they are defined in one.
_IMF_FIXDATE = re.compile(
    rb"%b, ([0-9]{2}) %b ([0-9]{4}) %b GMT" % (_DAY, _MONTH, _TIME), re.IGNORECASE
)
_RFC_850 = re.compile(
    rb"%b, ([0-9]{2})-%b-([0-9]{2}) %b GMT" % (_LONG_DAY, _MONTH, _TIME), re.IGNORECASE
)
_ASCTIME = re.compile(
    rb"%b %b ([0-9]{2}| [0-9]) %b ([0-9]{4})" % (_DAY, _MONTH, _TIME), re.IGNORECASE
)

_YEAR_S: Final = 31_556_952
"""The average year of the Gregorian calendar."""
_DAY_S: Final = 86400

HEURISTICALLY_CACHEABLE: Final = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
"""The statuses that may be stored although nothing says for how long (RFC 9110 15.1)."""


def parse_date(value: bytes, now: float) -> float | None:
    """A date in any of the three forms of RFC 9110 5.6.7.

    Args:
        value: The field's value.
        now: The time that a year of two digits is near to.

    Returns:
        Seconds since the epoch, or None when it is no date.
    """
    match = _IMF_FIXDATE.fullmatch(value)
    if match is not None:
        day, month, year, *clock = match.groups()
        return _seconds_since_epoch(int(year), month, int(day), clock)
    match = _RFC_850.fullmatch(value)
    if match is not None:
        day, month, year, *clock = match.groups()
        # RFC 9110 5.6.7: more than 50 years ahead means the century before.
        current = 1970 + int(now // _YEAR_S)
        near = current - current % 100 + int(year)
        near += 100 * ((near <= current - 50) - (near > current + 50))
        return _seconds_since_epoch(near, month, int(day), clock)
    match = _ASCTIME.fullmatch(value)
    if match is None:
        return None
    month, day, *clock, year = match.groups()
    return _seconds_since_epoch(int(year), month, int(day), clock)


def _seconds_since_epoch(
    year: int, month_name: bytes, day: int, clock: Sequence[bytes]
) -> float | None:
    """None for a day or a time that does not exist."""
    month = _MONTHS[month_name.lower()]
    hour, minute, second = map(int, clock)
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    last = 28 if month == 2 and not is_leap else _MONTH_DAYS[month - 1]
    # The 60 is a leap second.
    if year < 1 or not 1 <= day <= last or hour > 23 or minute > 59 or second > 60:
        return None
    # Days of the civil calendar, counted from a year that begins in March.
    march_year = year - (month <= 2)
    leaps = march_year // 4 - march_year // 100 + march_year // 400
    days = march_year * 365 + leaps + (153 * ((month + 9) % 12) + 2) // 5 + day - 719469
    return float(days * _DAY_S + hour * 3600 + minute * 60 + second)


def build_date(time: float) -> bytes:
    """A time as an IMF-fixdate."""
    days, second = divmod(int(time), _DAY_S)
    # The inverse of the count above, by eras of 400 years.
    era, day_of_era = divmod(days + 719468, 146097)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    from_march = (5 * day_of_year + 2) // 153
    month = (from_march + 2) % 12
    return b"%b, %02d %b %04d %02d:%02d:%02d GMT" % (
        b"Thu Fri Sat Sun Mon Tue Wed".split()[days % 7],
        day_of_year - (153 * from_march + 2) // 5 + 1,
        list(_MONTHS)[month].capitalize(),
        era * 400 + year + (month <= 1),
        second // 3600,
        second // 60 % 60,
        second % 60,
    )


def find_date(lines: Sequence[bytes], now: float) -> float | None:
    """The one date that all lines of a field give; None when they give none."""
    if len(lines) == 1:
        return parse_date(lines[0], now)
    dates = {parse_date(line, now) for line in lines}
    return dates.pop() if len(dates) == 1 else None


def parse_age(lines: Sequence[bytes]) -> int:
    """The age that an answer arrived with.

    RFC 9111 5.1 would take the first of several, and nothing for what is no number. Either may
    hide an old answer behind a fresh look: here such an answer is as old as can be.
    """
    if not lines:
        return 0
    age = parse_seconds(lines[0]) if len(lines) == 1 else None
    return MAX_SECONDS if age is None else age


def initial_age(age: int, date: float | None, requested: float, received: float) -> float:
    """RFC 9111 4.2.3's corrected initial age.

    Args:
        age: What the answer's Age says.
        date: What its Date says; None where that is no date.
        requested: When it was asked for.
        received: When it arrived.
    """
    apparent = 0.0 if date is None else max(0.0, received - date)
    return max(apparent, age + max(0.0, received - requested))


def explicit_lifetime(
    directives: Directives, expires: Sequence[bytes], date: float | None, received: float
) -> float | None:
    """The freshness lifetime that the origin gave (RFC 9111 4.2.1), for a shared cache.

    Args:
        directives: What the answer says.
        expires: The values of its Expires lines.
        date: What its Date says.
        received: When it arrived.

    Returns:
        None when it gave none.
    """
    if directives.s_maxage is not None:
        return float(directives.s_maxage)
    if directives.max_age is not None:
        return float(directives.max_age)
    if directives.is_targeted or not expires:
        return None
    until = find_date(expires, received)
    # RFC 9111 5.3: what is no date, above all "0", is in the past.
    return 0.0 if until is None else max(0.0, until - (received if date is None else date))


def heuristic_lifetime(
    fraction: float, longest_s: float, modified: float | None, date: float | None, received: float
) -> float | None:
    """A guess where the origin gave none (RFC 9111 4.2.2): a fraction of the time unmodified."""
    if not fraction or modified is None:
        return None
    unmodified = (received if date is None else date) - modified
    return min(longest_s, fraction * unmodified) if unmodified > 0 else None
