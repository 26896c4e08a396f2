"""The doors through which contents are read, and how they are compared with the model."""

import contextlib
import json
import tempfile
import time

import adbc_driver_flightsql.dbapi
import duckdb
import numpy
import pandas
import pyarrow

from lib import ROOT
from model import read_time

CONTENTS = "SELECT tag, time, value, text, quality, status FROM samples"
SUMMARY = """SELECT tag, count(*) AS n, count(value) AS numbers, sum(value) AS total, count(text) AS texts,
 min(time) AS first, max(time) AS last, count(*) FILTER (WHERE quality = 'good') AS good,
 count(*) FILTER (WHERE quality = 'uncertain') AS uncertain, count(*) FILTER (WHERE quality = 'bad') AS bad
 FROM samples GROUP BY tag ORDER BY tag"""


def sql_csv(server, sql, folder):
    """A result through `tagus sql --format csv` as a data frame."""
    path = folder / "result.csv"
    server.must("sql", "--format", "csv", "-o", path, sql)
    frame = pandas.read_csv(path, dtype=str, keep_default_na=False, na_filter=False, encoding="utf-8")
    return typed(frame)


def sql_json(server, sql):
    """A result through `tagus sql --format json`."""
    rows = [json.loads(line) for line in server.must("sql", "--format", "json", sql).splitlines()]
    return typed(pandas.DataFrame(rows, dtype=object))


def adbc(server, sql):
    """A result through Flight SQL."""
    with adbc_driver_flightsql.dbapi.connect(f"grpc://127.0.0.1:{server.grpc}", autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return from_arrow(cursor.fetch_arrow_table())


def duck():
    """DuckDB, with what it spills kept out of the folder that the check runs in."""
    return duckdb.connect(config={"temp_directory": tempfile.gettempdir() + "/tagus-duckdb"})


class Files:
    """DuckDB on the files of a data directory, with the view that README quotes."""

    def __init__(self, data):
        self.connection = duck()
        view = (ROOT / "checks/duckdb_view.sql").read_text(encoding="utf-8")
        self.connection.execute(view.replace("tagus-data/", f"{data}/"))

    def __call__(self, sql):
        for _ in range(9):
            with contextlib.suppress(duckdb.IOException):
                return from_arrow(self.connection.sql(sql).to_arrow_table())
            # A merge of the running server has taken a file away that was listed before.
            time.sleep(0.3)
        return from_arrow(self.connection.sql(sql).to_arrow_table())


def from_arrow(table):
    """Arrow to a data frame: times as nanoseconds, strings as objects."""
    columns = {}
    for field in table.schema:
        column = table[field.name]
        if pyarrow.types.is_timestamp(field.type):
            columns[field.name] = column.cast(pyarrow.timestamp("ns", field.type.tz)).cast(pyarrow.int64()).to_numpy()
        elif pyarrow.types.is_floating(field.type):
            columns[field.name] = column.cast(pyarrow.float64()).fill_null(float("nan")).to_numpy()
        elif pyarrow.types.is_integer(field.type):
            columns[field.name] = column.cast(pyarrow.int64()).to_numpy()
        else:
            columns[field.name] = words(column.to_pylist())
    return pandas.DataFrame(columns)


def words(cells):
    """Strings and None as they are; pandas would make NaN of None."""
    return pandas.Series(numpy.array(cells, dtype=object), dtype=object)


def typed(frame):
    """Gives the text cells of CSV and the values of JSON the types of the model."""
    for name in frame.columns:
        cells = frame[name].to_numpy(dtype=object)
        if name in ("time", "first", "last"):
            frame[name] = numpy.array([read_time(cell) for cell in cells], dtype=numpy.int64)
        elif name in ("value", "total"):
            frame[name] = numpy.array([float("nan") if c in ("", None) else float(c) for c in cells], dtype=numpy.float64)
        elif name in ("tag", "text", "quality"):
            frame[name] = words([None if cell == "" else cell for cell in cells])
        else:
            frame[name] = numpy.array([int(cell) for cell in cells], dtype=numpy.int64)
    return frame


def summary(contents):
    """What SUMMARY gives, computed from the model's contents."""
    rows = []
    for tag, part in contents.groupby("tag", sort=True):
        times, quality = part["time"], part["quality"]
        value = part["value"].to_numpy()
        with numpy.errstate(over="ignore"):
            total = float(numpy.nansum(value)) if (~numpy.isnan(value)).any() else float("nan")
        rows.append(
            dict(
                tag=tag, n=len(part), numbers=int((~numpy.isnan(value)).sum()), total=total,
                texts=int(part["text"].notna().sum()), first=int(times.min()), last=int(times.max()),
                good=int((quality == "good").sum()), uncertain=int((quality == "uncertain").sum()),
                bad=int((quality == "bad").sum()), scale=float(numpy.nansum(numpy.abs(value))),
            )
        )
    return pandas.DataFrame(rows)


def summary_difference(found, expected):
    """The first difference of two summaries; sums may differ by the order of their terms."""
    if sorted(found["tag"]) != sorted(expected["tag"]):
        return f"tags differ: {sorted(set(found['tag']) ^ set(expected['tag']))[:5]}"
    found, expected = found.set_index("tag"), expected.set_index("tag")
    for tag, want in expected.iterrows():
        have = found.loc[tag]
        for name in ("n", "numbers", "texts", "first", "last", "good", "uncertain", "bad"):
            if int(have[name]) != int(want[name]):
                return f"{tag}: {name} is {have[name]}, expected {want[name]}"
        both_null = numpy.isnan(have["total"]) and numpy.isnan(want["total"])
        if not both_null and not abs(have["total"] - want["total"]) <= 1e-12 * want["scale"]:
            return f"{tag}: total is {have['total']!r}, expected {want['total']!r}"
    return ""


def contents_difference(found, expected):
    """The first sample in which two contents differ, bit for bit."""
    if len(found) != len(expected):
        return f"{len(found)} samples, expected {len(expected)}"
    found = found.sort_values(["tag", "time"], kind="stable", ignore_index=True)
    expected = expected.sort_values(["tag", "time"], kind="stable", ignore_index=True)
    for name in ("tag", "time", "value", "text", "quality", "status"):
        have, want = found[name].to_numpy(), expected[name].to_numpy()
        if name == "value":
            same = bits(have) == bits(want)
        else:
            same = numpy.array([a == b for a, b in zip(have, want)]) if have.dtype == object else have == want
        if not numpy.all(same):
            at = int(numpy.argmin(same))
            return f"{int((~same).sum())} samples differ in {name}, first {expected.loc[at].to_dict()}, found {have[at]!r}"
    return ""


def bits(values):
    """Doubles as integers; all NaN, which stand for NULL, alike."""
    values = numpy.where(numpy.isnan(values), numpy.nan, values.astype(numpy.float64))
    return values.view(numpy.int64)
