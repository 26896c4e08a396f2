"""An independent reading of the contract: what becomes of the rows of a CSV.

Nothing here looks at Tagus. It follows "What a value becomes", last write wins and the accounting
as they are written down, one row after the other.
"""

import decimal
import fnmatch
import functools
import math
import re
import struct

import numpy
import pandas

GOOD, UNCERTAIN, BAD = 0x00000000, 0x40000000, 0x80000000
BAD_NO_DATA, BAD_OUT_OF_RANGE = 0x809B0000, 0x803C0000
STATUS_NAMES = {
    "good": GOOD, "uncertain": UNCERTAIN, "bad": BAD,
    "badnodata": BAD_NO_DATA, "badoutofrange": BAD_OUT_OF_RANGE, "badsensorfailure": 0x808C0000,
    "badnotconnected": 0x808A0000, "uncertainlastusablevalue": 0x40900000, "goodlocaloverride": 0x00960000,
}
TYPES = {"float": "float64", "int": "int64", "string": "text", "enum": "digital"}
TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))?\Z", re.ASCII
)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)\Z", re.IGNORECASE)


class Rejected(Exception):
    """The row is not kept; the text says why."""


class Tag:
    """A tag, its type and its samples by time."""

    def __init__(self, name, kind, states="", future=False):
        self.name, self.kind, self.future = name, kind, future
        # (value, text, status) by nanoseconds; the value is a float, an int or None.
        self.samples = {}
        self.states = {}
        # A backslash before a character takes its meaning away.
        for pair in re.findall(r"(?:[^,;\\]|\\.)+", states):
            code, state = pair.split("=", 1)
            self.states[re.sub(r"\\(.)", r"\1", state)] = int(code)

    def new_state(self, word):
        self.states[word] = max(self.states.values(), default=-1) + 1
        return self.states[word]


@functools.cache
def read_time(text):
    """Nanoseconds since 1970 of RFC 3339 or `YYYY-MM-DD HH:MM:SS[.f]`; None for other text."""
    match = TIME.match(text)
    if not match:
        return None
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    try:
        days = (numpy.datetime64(f"{year:04}-{month:02}-{day:02}") - numpy.datetime64("1970-01-01")).astype(int)
    except ValueError:
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    seconds = int(days) * 86400 + hour * 3600 + minute * 60 + second
    if match[9]:
        seconds -= (1 if match[9] == "+" else -1) * (int(match[10]) * 3600 + int(match[11]) * 60)
    return seconds * 10**9 + int((match[7] or "").ljust(9, "0"))


@functools.cache
def read_status(status, quality):
    """The status code of a row; `status` beats `quality`."""
    if status:
        if status.lower() in STATUS_NAMES:
            return STATUS_NAMES[status.lower()]
        code = int(status, 16 if status.lower().startswith("0x") else 10)
        if not 0 <= code < 2**32:
            raise Rejected(f"{status!r} is no status")
        return code
    if not quality:
        return GOOD
    if quality.lower() in ("good", "uncertain", "bad"):
        return STATUS_NAMES[quality.lower()]
    return {3: GOOD, 1: UNCERTAIN}.get(int(quality) >> 6, BAD)


def no_value(word, status, otherwise):
    """A sample without a value never keeps a good or uncertain status."""
    return (None, word, status if status >= BAD else otherwise), status < BAD


def finite(word):
    number = float(word)
    if math.isinf(number):
        raise Rejected("too large for a double")
    return number


def convert(tag, word, status):
    """What a value becomes: ((value, text, status), coerced)."""
    if word == "":
        return no_value(None, status, BAD_NO_DATA)
    if tag.kind == "text":
        return (None, word, status), False
    if tag.kind == "bool" and word.lower() in ("0", "1", "true", "false"):
        return (int(word.lower() in ("1", "true")), None, status), False
    if tag.kind == "digital" and word in tag.states:
        return (tag.states[word], None, status), False
    if NOT_FINITE.match(word):
        return (None, None, BAD_OUT_OF_RANGE), True
    if not NUMBER.match(word):
        if tag.kind == "digital" and status < BAD:
            return (tag.new_state(word), None, status), False
        return no_value(word, status, BAD)
    if tag.kind == "float64":
        return (finite(word), None, status), False
    if tag.kind == "float32":
        with numpy.errstate(over="ignore"):
            narrow = numpy.float32(finite(word))
        if numpy.isinf(narrow):
            raise Rejected("too large for a float32")
        return (float(str(narrow)), None, status), False
    exact = decimal.Decimal(word)
    if tag.kind == "bool" and exact not in (0, 1):
        raise Rejected("neither 0 nor 1")
    if exact != exact.to_integral_value() or not -(2**63) <= exact < 2**63:
        raise Rejected("no 64-bit integer")
    return (int(exact), None, status), False


def key(cell):
    """A cell with its value as bits, so that -0.0 is not 0.0."""
    value, text, status = cell
    return (struct.pack("<d", value) if isinstance(value, float) else value, text, status)


class Model:
    """The tags of a historian and what imports leave in them."""

    LATEST = 9_214_646_399_999_999_999
    EARLIEST = -2_208_988_800_000_000_000

    def __init__(self, now):
        """`now` in nanoseconds: samples more than an hour ahead are rejected."""
        self.now = now
        self.tags = {}

    def declare(self, path):
        for row in read_table(path).itertuples():
            states, future = getattr(row, "states", ""), getattr(row, "future", "")
            kind = TYPES.get(row.type, row.type)
            self.tags[row.tag.lower()] = Tag(row.tag, kind, states, future.lower() == "true")

    def create(self, name, rows):
        """A tag that was not declared: its first value that is neither empty nor Bad decides."""
        kind = "float64"
        for word, status in rows:
            if word == "" or status >= BAD:
                continue
            is_number = NUMBER.match(word) or NOT_FINITE.match(word)
            kind = "bool" if word.lower() in ("true", "false") else "float64" if is_number else "text"
            break
        self.tags[name.lower()] = Tag(name, kind)

    def load(self, path):
        """Imports a file; gives its accounting."""
        table = read_table(path)
        for column in ("status", "quality"):
            if column not in table:
                table[column] = ""
        rows = list(zip(table["tag"], table["timestamp"], table["value"], table["status"], table["quality"]))
        self._create_missing(rows)
        counts = dict(rows=len(rows), stored=0, replaced=0, duplicate=0, reduced=0, coerced=0, rejected=0)
        by_name = {}
        for name, when, word, status, quality in rows:
            tag = by_name.get(name) or by_name.setdefault(name, self.tags.get(name.lower()))
            try:
                self._apply(tag, when, word, read_status(status, quality), counts)
            except Rejected:
                counts["rejected"] += 1
        return counts

    def _create_missing(self, rows):
        missing = {}
        for name, _, word, status, quality in rows:
            if name.lower() not in self.tags and is_name(name):
                missing.setdefault(name.lower(), (name, []))[1].append((word, read_status(status, quality)))
        for name, values in missing.values():
            self.create(name, values)

    def _apply(self, tag, when, word, status, counts):
        if tag is None:
            raise Rejected("no tag can have this name")
        time = read_time(when)
        if time is None:
            raise Rejected(f"{when!r} is no time")
        latest = self.LATEST if tag.future else self.now + 3600 * 10**9
        if not self.EARLIEST <= time <= latest:
            raise Rejected("its time is out of range")
        cell, coerced = convert(tag, word, status)
        before = tag.samples.get(time)
        outcome = "stored" if before is None else "duplicate" if key(before) == key(cell) else "replaced"
        counts[outcome] += 1
        if coerced and outcome != "duplicate":
            counts["coerced"] += 1
        tag.samples[time] = cell

    def delete(self, glob, start, end):
        """Deletes samples of tags whose names match, from `start` to before `end`; gives how many."""
        gone = 0
        for tag in self.tags.values():
            if fnmatch.fnmatchcase(tag.name.lower(), glob.lower()):
                times = [time for time in tag.samples if start <= time < end]
                gone += len(times)
                for time in times:
                    del tag.samples[time]
        return gone

    def contents(self):
        """All samples as a data frame in order of tag and time: what the table `samples` has."""
        columns = {"tag": [], "time": [], "value": [], "text": [], "status": []}
        for tag in sorted(self.tags.values(), key=lambda tag: tag.name.encode()):
            names = {code: state for state, code in tag.states.items()}
            for time in sorted(tag.samples):
                value, text, status = tag.samples[time]
                if text is None and tag.kind == "digital":
                    text = names.get(value)
                elif text is None and tag.kind == "int64" and value is not None and abs(value) > 2**53:
                    text = str(value)
                columns["tag"].append(tag.name)
                columns["time"].append(time)
                columns["value"].append(math.nan if value is None else float(value))
                columns["text"].append(text)
                columns["status"].append(status)
        frame = pandas.DataFrame(
            {
                "tag": numpy.array(columns["tag"], dtype=object),
                "time": numpy.array(columns["time"], dtype=numpy.int64),
                "value": numpy.array(columns["value"], dtype=numpy.float64),
                "text": pandas.Series(numpy.array(columns["text"], dtype=object), dtype=object),
                "status": numpy.array(columns["status"], dtype=numpy.int64),
            }
        )
        quality = numpy.array(["good", "uncertain", "bad", "bad"], dtype=object)
        frame["quality"] = quality[frame["status"].to_numpy() >> 30]
        return frame


def is_name(name):
    return 0 < len(name.encode()) <= 1024 and not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in name)


def read_table(path):
    """A CSV with every cell as the text it is."""
    return pandas.read_csv(path, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8")
