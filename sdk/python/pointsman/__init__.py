"""Write Pointsman plugins in Python.

A plugin is a class named ``Plugin`` in ``plugin.py``. It is made once with its configuration, and has a method for
each role that ``plugin.toml`` names:

====================  ==========================================================
``classifier``        ``classify(self, request) -> list[Label]``
``request-guard``     ``check(self, request) -> Checked``
``splitter``          ``split(self, request, bucket) -> str``
``router``            ``route(self, request, candidates) -> Plan``
``response-guard``    ``covers(self) -> Coverage`` and ``guard(self, request) -> GuardStream``
``accountant``        ``account(self, request, usages) -> list[CostLine]``
====================  ==========================================================

Values of the contract are plain Python: ``str``, ``list[str]``, ``int``, ``float``, ``bool``; ``None`` where there is
none. This module needs nothing but Python, so plugins can be tested with it natively.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Protocol, Union

Value = Union[str, list[str], int, float, bool]
Attributes = dict[str, Value]


class ConfigError(Exception):
    """Raised by ``Plugin.__init__``: the configuration is refused, and the operator is shown the text."""


class PluginError(Exception):
    """A failure on purpose. Anything else that is raised is a fault of kind ``trap``."""

    kind = "internal"


class InvalidInput(PluginError):
    """The request is not one that the plugin can judge."""

    kind = "invalid-input"


class Unavailable(PluginError):
    """What the plugin needs is not there."""

    kind = "unavailable"


@dataclass
class Reason:
    """Why. ``code`` is stable and for machines; ``detail`` is for people and never repeats the content."""

    code: str
    detail: str
    attributes: Attributes = field(default_factory=dict)


@dataclass
class Label:
    """What a classifier or guard says of a request or an answer."""

    key: str
    value: Value
    score: float = 1.0


@dataclass
class Segment:
    """One piece of guardable text, decoded. Offsets into ``text`` are bytes of its UTF-8."""

    message: int
    part: int
    role: str
    kind: str
    path: str
    text: str


class View(Protocol):
    """A request. Only what is read is copied, and recorded for replay."""

    def field(self, name: str) -> Optional[Value]: ...
    def fields(self, names: list[str]) -> list[Optional[Value]]: ...
    def label(self, key: str) -> Optional[Label]: ...
    def header(self, name: str) -> Optional[str]: ...
    def message_count(self) -> int: ...
    def message_field(self, message: int, name: str) -> Optional[Value]: ...
    def part_field(self, message: int, part: int, name: str) -> Optional[Value]: ...
    def segment_count(self) -> int: ...
    def segments(self, first: int = 0, count: int = 0xFFFFFFFF) -> list[Segment]: ...
    def recent_text(self, messages: int, bytes_max: int) -> str: ...
    def tool_names(self) -> list[str]: ...
    def tool_schema(self, name: str) -> Optional[str]: ...
    def body_length(self) -> int: ...
    def body(self, offset: int, length: int) -> bytes: ...


class Pool(Protocol):
    """Candidates, by column."""

    def names(self) -> list[str]: ...
    def column(self, key: str) -> list[Optional[Value]]: ...
    def columns(self, keys: list[str]) -> list[list[Optional[Value]]]: ...


@dataclass
class Attempt:
    """One try. Attributes: ``timeout-ms``, ``first-token-timeout-ms``, ``retries``, ``model``."""

    target: str
    attributes: Attributes = field(default_factory=dict)


@dataclass
class Plan:
    """A router's answer, at most 16 attempts. No attempts: it abstains, and the next router step is asked."""

    attempts: list[Attempt]
    reason: Reason
    attributes: Attributes = field(default_factory=dict)

    @classmethod
    def abstain(cls, code: str, detail: str) -> "Plan":
        """Leaves the request to the next router."""
        return cls([], Reason(code, detail))


@dataclass
class TextEdit:
    """Puts ``text`` in place of bytes ``start`` to ``end`` of a segment."""

    segment: int
    start: int
    end: int
    text: str


@dataclass
class Setting:
    """Sets ``max-output-tokens``, ``temperature``, ``remove-tool`` or ``prepend-system``."""

    key: str
    value: Value


@dataclass
class Checked:
    """A request guard's answer: a denial, else edits, else pass."""

    deny: Optional[Reason] = None
    edits: list[Union[TextEdit, Setting]] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)


@dataclass
class Coverage:
    """What a response guard reads and how much it may hold back."""

    kinds: list[str]
    hold_back_bytes: int
    hold_back_ms: int
    attributes: Attributes = field(default_factory=dict)


@dataclass
class Channel:
    """One text stream within an answer."""

    choice: int
    item: int
    kind: str
    path: str
    attributes: Attributes = field(default_factory=dict)


@dataclass
class Delta:
    """New text of one channel."""

    channel: int
    text: str


@dataclass
class Pass:
    """Releases the next bytes of a channel as they are."""

    channel: int
    bytes: int


@dataclass
class Replace:
    """Releases ``text`` in place of the next bytes of a channel."""

    channel: int
    bytes: int
    text: str


@dataclass
class Cut:
    """Ends one choice, or the whole answer where none is named."""

    reason: Reason
    choice: Optional[int] = None


Action = Union[Pass, Replace, Cut, Label]


class GuardStream(Protocol):
    """One answer on its way through a response guard."""

    def open(self, id: int, about: Channel) -> None: ...
    def push(self, deltas: list[Delta]) -> list[Action]: ...
    def close(self, channel: int) -> list[Action]: ...
    def expire(self, channels: list[int]) -> list[Action]: ...
    def finish(self, outcome: Attributes) -> list[Action]: ...


@dataclass
class Meter:
    """A counted quantity. Nothing is counted twice."""

    unit: str
    quantity: int
    estimated: bool


@dataclass
class Usage:
    """What one attempt used."""

    attempt: int
    target: str
    outcome: str
    meters: list[Meter]
    attributes: Attributes = field(default_factory=dict)


@dataclass
class CostLine:
    """One line of a bill. ``pico_usd`` is None where no price is known: never zero."""

    attempt: int
    unit: str
    quantity: int
    pico_usd: Optional[int]
    estimated: bool = False
    attributes: Attributes = field(default_factory=dict)
