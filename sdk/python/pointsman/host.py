"""What the host offers besides the request. Declare what you call in ``imports`` of ``plugin.toml``; steps grant it.

There is no network, no file system and no clock of the machine: ``open``, ``socket`` and ``time.time`` fail.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from . import Attributes


@dataclass
class Rate:
    """Pico-dollars per unit."""

    unit: str
    pico_usd: int
    above_input_tokens: int
    attributes: Attributes = field(default_factory=dict)


def log(message: str, level: str = "info") -> None:
    """A line in the gateway's log. ``level`` is debug, info, warn or error."""
    from wit_world.imports import log as wit

    wit.log(wit.Level[level.upper()], message)


def now_ms() -> int:
    """The decision's time, milliseconds since 1970."""
    from wit_world.imports import clock

    return clock.now_ms()


def next_u64() -> int:
    """A number seeded from request and step."""
    from wit_world.imports import random

    return random.next_u64()


def data(name: str) -> Optional[bytes]:
    """A file of the bundle that the step names; also in ``__init__``."""
    from wit_world.imports import data as wit

    size = wit.size(name)
    if size is None:
        return None
    piece = 1 << 19
    return b"".join(wit.read(name, at, piece) or b"" for at in range(0, size, piece))


def count(name: str, window_seconds: int) -> int:
    """What the tenant did lately: ``requests``, ``denials``, ``cuts``, ``errors``, ``tokens``."""
    from wit_world.imports import counters

    return counters.count(name, window_seconds)


def vector(name: str) -> Optional[list[float]]:
    """The vector of the recent text (``recent``) or of a file that the step names; None where there is none."""
    from wit_world.imports import embedding

    return embedding.vector(name)


def hmac(name: str, message: bytes) -> Optional[bytes]:
    """HMAC-SHA256 under a secret that the configuration names; None where it may not be used."""
    from wit_world.imports import secrets

    return secrets.hmac(name, message)


def rates(target: str) -> Optional[list[Rate]]:
    """What a target costs; None where no price is known."""
    from wit_world.imports import prices

    known = prices.rates(target)
    if known is None:
        return None
    return [
        Rate(rate.unit, rate.pico_usd, rate.above_input_tokens, {attribute.key: attribute.value.value for attribute in rate.attributes})
        for rate in known
    ]
