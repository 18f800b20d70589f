"""Lines of JSON as rows of changes: the text that stays the same once, and the differences of the numbers.

A line is split into its numbers, literals and times, and the text between them, the template. Every line with a known
template becomes one small row: for each number the difference from the line before, as a whole number of its last
decimal. Any line comes back to the byte: a number that would not, is stored as text.
"""

from __future__ import annotations

import re
from datetime import datetime
from operator import add

from edge.records import YEARS_MS, utc_text

INT, NULL, BOOL, TIME, TEXT = range(5)
"""Kinds of values. ``FLOAT + n`` is a number with ``n`` decimals."""
FLOAT = 10
_LITERALS = {"null": (NULL, 0), "true": (BOOL, 1), "false": (BOOL, 0)}
MAX_DECIMALS = 22
"""10 to this power is the last that a float represents exactly."""
MAX_INTEGER = 1 << 53
MAX_TEMPLATES = 64
"""Most templates that are remembered: an estimate and each reason of an abstention have one."""
MAX_SLOTS = 1 << 16
MAX_TEMPLATE_BYTES = 1 << 20

_VALUE = re.compile(r'([:,\[])([-0-9ntf][-+.0-9a-zE]*|"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")(?=[,\]}])', re.ASCII)
"""What comes before a value, and what looks like one; the encoder checks that it comes back."""
_JOIN = "\0"
"""Stands for a value in the template; JSON text never contains it."""


class RowError(Exception):
    """A row is not valid."""


class _Known:
    """A template with the last values of its slots."""

    def __init__(self, slots: int) -> None:
        self.tokens = [""] * slots
        self.kinds = [INT] * slots
        self.values = [0] * slots


class RowEncoder:
    """Makes rows of lines. A decoder needs all of them from the first on, in order."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, _Known]] = {}

    @property
    def full(self) -> bool:
        """Whether the next new template would be one too many; then begin with a new encoder."""
        return len(self._known) >= MAX_TEMPLATES

    def encode(self, line: str) -> bytes:
        """Return the row of one line, without its newline."""
        pieces = [line] if _JOIN in line else _VALUE.split(line)
        tokens = pieces[2::3]
        template = _JOIN.join([*map(add, pieces[::3], pieces[1::3]), pieces[-1]])
        found = self._known.get(template)
        out = bytearray()
        if found is None:
            found = self._known[template] = len(self._known) + 1, _Known(len(tokens))
            text = template.encode("utf-8", "surrogatepass")
            _put(out, 0)
            _put(out, len(tokens))
            _put(out, len(text))
            out += text
        else:
            _put(out, found[0])
        self._row(out, found[1], tokens)
        return bytes(out)

    @staticmethod
    def _row(out: bytearray, known: _Known, tokens: list[str]) -> None:
        kinds, values, last = known.kinds, known.values, known.tokens
        changed: list[tuple[int, int]] = []
        texts = bytearray()
        deltas = bytearray()
        for slot, token in enumerate(tokens):
            if token == last[slot]:
                if kinds[slot] != TEXT:
                    deltas.append(0)
                else:
                    _put_text(texts, token)
                continue
            kind, value = _value(token, kinds[slot] - FLOAT)
            base = values[slot]
            if kind != kinds[slot]:
                changed.append((slot, kind))
                base = 0
            kinds[slot], values[slot], last[slot] = kind, value, token
            if kind == TEXT:
                _put_text(texts, token)
            else:
                _put_signed(deltas, value - base)
        _put(out, len(changed))
        before = 0
        for slot, kind in changed:
            _put(out, slot - before)
            _put(out, kind)
            before = slot
        out += texts
        out += deltas


class RowDecoder:
    """Turns the rows of a `RowEncoder` back into lines, and trusts none of them."""

    def __init__(self) -> None:
        self._known: list[tuple[list[str], _Known]] = []

    def decode(self, row: bytes) -> str:
        """Return the line of one row.

        Raises:
            RowError: The row is not valid.
        """
        at = _Bytes(row)
        number = at.number()
        if number == 0:
            slots, size = at.number(), at.number()
            if slots > MAX_SLOTS or size > MAX_TEMPLATE_BYTES or len(self._known) >= MAX_TEMPLATES:
                raise RowError("a template is too large")
            text = at.take(size).decode("utf-8", "surrogatepass")
            pieces = text.split(_JOIN) if slots else [text]
            if len(pieces) != slots + 1:
                raise RowError("a template does not fit its row")
            self._known.append((pieces, _Known(slots)))
            number = len(self._known)
        if number > len(self._known):
            raise RowError("a row has an unknown template")
        pieces, known = self._known[number - 1]
        self._values(at, known)
        if not at.ended:
            raise RowError("a row is too long")
        pairs = [piece for pair in zip(pieces, known.tokens, strict=False) for piece in pair]
        line = "".join([*pairs, pieces[-1]])
        if "\n" in line:
            raise RowError("a row holds more than one line")
        return line

    @staticmethod
    def _values(at: _Bytes, known: _Known) -> None:
        kinds, values, tokens = known.kinds, known.values, known.tokens
        slot = 0
        changed = []
        for _ in range(min(at.number(), len(kinds))):
            slot += at.number()
            if slot >= len(kinds):
                raise RowError("a row changes a value that its template does not have")
            kinds[slot], values[slot] = at.number(), 0
            changed.append(slot)
        for slot in [i for i, kind in enumerate(kinds) if kind == TEXT]:
            tokens[slot] = at.take(at.number()).decode("utf-8", "surrogatepass")
        fresh = set(changed)
        for slot, kind in enumerate(kinds):
            if kind != TEXT:
                delta = at.signed()
                if delta or slot in fresh or not tokens[slot]:
                    values[slot] += delta
                    tokens[slot] = _token(kind, values[slot])


def _value(token: str, decimals: int) -> tuple[int, int]:
    """Return kind and value of a token, with at least ``decimals`` decimals if it has any."""
    if token in _LITERALS:
        return _LITERALS[token]
    first = token[0]
    try:
        if first == '"':
            found = TIME, round(datetime.fromisoformat(token[1:-1]).timestamp() * 1000)
        elif token.lstrip("-").isdigit():
            found = INT, int(token)
        else:
            mantissa, _, exponent = token.partition("e")
            places = max(decimals, len(mantissa.partition(".")[2]) - int(exponent or 0), 0)
            # Beyond this no value comes back; 10.0 ** places stays finite.
            found = FLOAT + min(places, MAX_DECIMALS), round(float(token) * 10.0 ** min(places, MAX_DECIMALS))
        if abs(found[1]) < MAX_INTEGER and _token(*found) == token:
            return found
    except (ValueError, OverflowError, RowError):
        pass
    if decimals > 0 and first != '"':
        return _value(token, 0)  # more decimals than it needs may be too many
    return TEXT, 0


def _token(kind: int, value: int) -> str:
    if kind == INT:
        return str(value)
    if kind >= FLOAT:
        if kind > FLOAT + MAX_DECIMALS:
            raise RowError("a number has too many decimals")
        return repr(value / 10 ** (kind - FLOAT))
    if kind == NULL:
        return "null"
    if kind == BOOL:
        return "true" if value else "false"
    if kind == TIME:
        if not YEARS_MS[0] <= value <= YEARS_MS[1]:
            raise RowError("a time is out of range")
        return f'"{utc_text(value * 1_000_000)}"'
    raise RowError(f"unknown kind of value: {kind}")


def _put(out: bytearray, number: int) -> None:
    """Append a whole number from 0, seven bits a byte, the lowest first."""
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _put_signed(out: bytearray, number: int) -> None:
    _put(out, number << 1 if number >= 0 else (-number << 1) - 1)


def _put_text(out: bytearray, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    _put(out, len(data))
    out += data


class _Bytes:
    """Reads the numbers of a row."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def ended(self) -> bool:
        return self._at == len(self._data)

    def number(self) -> int:
        data, at = self._data, self._at
        value = shift = 0
        while True:
            if at >= len(data) or shift > 63:
                raise RowError("a row is truncated")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                self._at = at
                return value
            shift += 7

    def signed(self) -> int:
        value = self.number()
        return value >> 1 if not value & 1 else -(value + 1 >> 1)

    def take(self, size: int) -> bytes:
        data = self._data[self._at : self._at + size]
        if len(data) < size:
            raise RowError("a row is truncated")
        self._at += size
        return data
