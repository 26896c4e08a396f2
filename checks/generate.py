"""A small set that holds everything that real sets hold, and more: `generate.py FOLDER [SEED]`.

Disorder, late rows, duplicate timestamps with equal and with other values, system states as text
in numeric tags, empty cells, all tag types, int64 beyond 2^53, nanoseconds, NaN words, names that
differ in case, tags that nobody declared, and rows that have to be rejected.
"""

import csv
import gzip
import pathlib
import random
import sys

TAGS = r"""tag,type,unit,description,interpolation,low,high,states,future
GEN.Flow,float,m3/h,decimals,,0,250,,
GEN.Odd,float64,,"doubles of every kind, with a comma",step,,,,
GEN.Narrow,float32,bar,shortest decimals,,,,,
GEN.Count,int64,,whole numbers,linear,,,,
GEN.Serial,int,,beyond 2^53,,,,,
GEN.Run,bool,,switch,,,,,
GEN.Valve,digital,,declared states,,,,"0=Closed,1=Open,4=Shut\, late\; or not,5=a\=b\\c",
GEN.Mode,enum,,states that come as they come,,,,,
GEN.Recipe,text,,strings,,,,,
GEN.Note,string,,strings that look like other things,,,,,
GEN.Plan,float64,MW,a forecast,,,,,true
GEN.Öfen,float64,°C,a name beyond ASCII,,,,,
"""
STATES = ["Bad", "Scan Timeout", "Inp OutRange", "I/O Timeout"]
START = 1_709_251_200_000  # 2024-03-01T00:00:00Z in milliseconds


def stamp(ns, style):
    """A time of nanoseconds since 1970 as sources write it."""
    seconds, rest = divmod(ns, 10**9)
    days, second = divmod(seconds, 86400)
    date = civil(days)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    fraction = f".{rest:09}".rstrip("0").rstrip(".") if rest else ""
    if style == 0:
        return f"{date}T{clock}{fraction}Z"
    if style == 1:
        return f"{date} {clock}{fraction}"
    later = stamp(ns + 5400 * 10**9, 0)[:-1]
    return f"{later}+01:30"


def civil(days):
    import numpy

    return str(numpy.datetime64("1970-01-01") + days)


def numbers(random_, kind):
    """A value as text for a tag."""
    if kind == "GEN.Flow":
        return f"{random_.gauss(120, 15):.2f}"
    if kind == "GEN.Odd":
        special = ["-0.0", "0.0", "5e-324", "-2.2250738585072014e-308", "1e-300", "0.1", "1e22", "123456789.123456789"]
        return random_.choice(special) if random_.random() < 0.2 else repr(random_.uniform(-1, 1) * 10 ** random_.randint(-12, 12))
    if kind == "GEN.Narrow":
        return random_.choice([f"{random_.gauss(3, 1):.3f}", repr(random_.random()), "16777217", "0.1", "3.4e38", "-1e-40"])
    if kind == "GEN.Count":
        return random_.choice([str(random_.randint(-50, 5000)), "1e3", "42.0", "+7"])
    if kind == "GEN.Serial":
        edge = random_.choice([2**53, -(2**53), 2**63 - 1, -(2**63), 2**62])
        return str(max(-(2**63), min(2**63 - 1, edge + random_.randint(-3, 3))))
    if kind == "GEN.Run":
        return random_.choice(["0", "1", "true", "false", "True", "FALSE"])
    if kind == "GEN.Valve":
        return random_.choice(["Closed", "Open", "0", "1", "7", "Travel", "Stuck", "Shut, late; or not", "a=b\\c"])
    if kind == "GEN.Mode":
        return random_.choice(["Auto", "Manual", "Cascade", "Local = hand", "Störung", "A, B", "1;2", "x\\", "\\,="])
    if kind == "GEN.Recipe":
        return random_.choice(["R-17", 'the "new" one', "a, b", "two\nlines", "Ω ≥ 3", "R-18"])
    if kind == "GEN.Note":
        return random_.choice(["1.50", "true", "Bad", "2024-03-01", "0x10", "-"])
    return f"{random_.gauss(20, 5):.1f}"


def ordinary(random_, names):
    """Rows of each tag about every second, in scan order, with nanoseconds now and then."""
    rows = []
    for second in range(1500):
        for name in names:
            ms = START + second * 1000 + random_.randint(0, 20)
            ns = ms * 10**6 + (random_.randint(1, 999_999) if random_.random() < 0.1 else 0)
            if name == "GEN.Plan":
                ns += 76 * 365 * 86400 * 10**9
            rows.append([name, ns, numbers(random_, name), quality(random_), ""])
    return rows


def quality(random_):
    return random_.choices(["192", "216", "64", "0", "good", "uncertain", "bad", ""], [60, 5, 5, 3, 5, 3, 2, 2])[0]


def spoil(random_, rows):
    """System states, empty cells, NaN words, statuses and names in another case."""
    for row in rows:
        chance = random_.random()
        numeric = row[0] not in ("GEN.Recipe", "GEN.Note", "GEN.Mode", "GEN.Valve")
        if chance < 0.02 and numeric:
            row[2] = random_.choice(STATES)
        elif chance < 0.03:
            row[2] = ""
        elif chance < 0.035 and numeric and row[0] != "GEN.Run":
            row[2] = random_.choice(["NaN", "nan", "inf", "-Infinity"])
        elif chance < 0.045 and row[0] in ("GEN.Valve", "GEN.Mode"):
            row[2], row[3] = random_.choice(STATES), "0"
        elif chance < 0.06:
            row[4] = random_.choice(["0x80000000", "1083179008", "BadSensorFailure", "UncertainLastUsableValue", "Good", "bad"])
        if random_.random() < 0.02:
            row[0] = random_.choice([row[0].upper(), row[0].lower()])


def repeat(random_, rows):
    """The same tag and time again, near or much later: equal, with another value, another status."""
    extra = []
    for at, row in enumerate(rows):
        chance = random_.random()
        if chance < 0.06:
            again = list(row)
            if chance < 0.03:
                again[2] = numbers(random_, row[0]) if row[0].startswith("GEN.") else "1"
            elif chance < 0.04:
                again[3] = "64"
            extra.append((at + random_.choice([1, 5, 400, 9000]), again))
    for at, row in sorted(extra, key=lambda e: -e[0]):
        rows.insert(min(at, len(rows)), row)


def shuffle(random_, rows):
    """Late rows: some go far back in the file, others change places with neighbours."""
    for _ in range(len(rows) // 50):
        rows.insert(random_.randrange(len(rows)), rows.pop(random_.randrange(len(rows))))
    for at in range(0, len(rows) - 1, 7):
        rows[at], rows[at + 1] = rows[at + 1], rows[at]


def undeclared():
    """Tags that get their type from their first value that is neither empty nor Bad."""
    ns = START * 10**6
    rows = [
        ["NEW.Number", ns, "", "192"], ["NEW.Number", ns + 1, "Scan Timeout", "0"], ["NEW.Number", ns + 2, "17", "192"],
        ["NEW.Number", ns + 3, "true", "192"], ["NEW.Switch", ns, "false", "64"], ["NEW.Switch", ns + 1, "1", "192"],
        ["NEW.Word", ns, "ready", "192"], ["NEW.Word", ns + 1, "3", "192"], ["new.word", ns + 2, "done", "192"],
        ["NEW.Nothing", ns, "", "0"], ["NEW.Nothing", ns + 1, "Bad", "0"],
        # The ends of time.
        ["NEW.Old", -2_208_988_800 * 10**9, "1", "192"], ["NEW.Old", -1, "2", "192"], ["NEW.Old", 0, "3", "192"],
    ]
    return [[*row, ""] for row in rows]


def far_apart():
    """Tags whose deciding value comes long after their first row: rows for the start, and for the end."""
    ns = START * 10**6
    early = [["FAR.Word", ns, "", "192"], ["FAR.Switch", ns, "Bad", "0"], ["FAR.Number", ns, "Scan Timeout", "0"]]
    late = [
        ["FAR.Word", ns + 1, "stopped", "0"], ["far.word", ns + 2, "ready", "192"], ["FAR.Word", ns + 3, "17", "192"],
        ["FAR.Switch", ns + 1, "true", "192"], ["FAR.Number", ns + 1, "17", "192"], ["FAR.Number", ns + 2, "ready", "192"],
    ]
    return [[*row, ""] for row in early], [[*row, ""] for row in late]


def rejected():
    """Rows that no historian should keep, as they stand in the file."""
    time = stamp(START * 10**6, 0)
    return [
        ["GEN.Count", time, "2.5", "192", ""], ["GEN.Count", time, "9223372036854775808", "192", ""],
        ["GEN.Flow", time, "1e999", "192", ""], ["GEN.Narrow", time, "1e39", "192", ""], ["GEN.Run", time, "2", "192", ""],
        ["GEN.Flow", "2200-01-01T00:00:00Z", "1", "192", ""], ["GEN.Flow", "1899-12-31T23:59:59Z", "1", "192", ""],
        ["GEN.Flow", "2024-02-30T00:00:00Z", "1", "192", ""], ["GEN.Flow", "yesterday", "1", "192", ""],
        ["GEN.Flow", "", "1", "192", ""], ["x" * 1025, time, "1", "192", ""], ["GEN.bell\a", time, "1", "192", ""],
        ["", time, "1", "192", ""],
    ]


def generate(folder, seed=20260101):
    """Writes tags.csv and data.csv.gz; gives the path of the data."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tags.csv").write_text(TAGS, encoding="utf-8")
    random_ = random.Random(seed)
    rows = ordinary(random_, [line.split(",", 1)[0] for line in TAGS.splitlines()[1:]])
    spoil(random_, rows)
    repeat(random_, rows)
    shuffle(random_, rows)
    rows[100:100] = undeclared()
    early, late = far_apart()
    rows = early + rows + late
    rows = [[row[0], stamp(row[1], random_.randrange(3)), *row[2:]] for row in rows]
    for row in rejected():
        rows.insert(random_.randrange(len(rows)), row)
    with gzip.open(folder / "data.csv.gz", "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["tag", "timestamp", "value", "quality", "status"])
        writer.writerows(rows)
    return folder / "data.csv.gz"


if __name__ == "__main__":
    print(generate(sys.argv[1], *map(int, sys.argv[2:3])))
