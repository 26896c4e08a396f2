"""Reduction on a real pump rig: what is kept, and what averages say of what is not.

The set is stored twice: as it came, and with exception and swinging door. Of each hour and minute the
aggregates of both are compared, and beside them those of the kept samples alone. Kill -9 and a merge come
in between. `reduction.py [--exc-dev D] [--comp-dev D]`.
"""

import argparse
import csv
import gzip
import math
import re

import adbc_driver_flightsql.dbapi
import numpy

import lib

SET = "skab_pump_rig"
PREFIX = {"raw": "SKAB.", "reduced": "REDUCED.", "kept": "KEPT."}
# All of the set, and an afternoon of it.
RANGES = {"1 hour": "'2020-02-08T13:00:00Z', '2020-03-09T16:00:00Z'", "1 minute": "'2020-03-09T10:00:00Z', '2020-03-09T16:00:00Z'"}
EXACT = [
    "Average", "Count", "TimeAverage", "TimeAverage2", "Total", "Total2", "Minimum", "Maximum", "Minimum2", "Maximum2",
    "MinimumActualTime", "MaximumActualTime", "Range", "Range2", "StandardDeviationSample", "VariancePopulation",
]


def rows_of_set():
    with gzip.open(lib.SHARED / "data" / SET / "data.csv.gz", "rt", newline="") as file:
        return list(csv.DictReader(file))


def write_copy(path, rows, kind):
    """The floats of the set under other names."""
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["tag", "timestamp", "value", "quality"])
        for row in rows:
            out.writerow([row["tag"].replace(PREFIX["raw"], PREFIX[kind]), row["timestamp"], row["value"], row["quality"]])


def spans(rows):
    values = {}
    for row in rows:
        values.setdefault(row["tag"], []).append(float(row["value"]))
    return {tag: (min(all_of_tag), max(all_of_tag)) for tag, all_of_tag in values.items()}


def asked(server, sql):
    """A result as a list of rows."""
    with adbc_driver_flightsql.dbapi.connect(f"grpc://127.0.0.1:{server.grpc}", autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table().to_pylist()


def processed(cursor, kind, aggregate, interval):
    cursor.execute(
        f"SELECT tag, time, value, status FROM processed('{PREFIX[kind]}*', '{aggregate}', {RANGES[interval]}, '{interval}') ORDER BY tag, time"
    )
    table = cursor.fetch_arrow_table()
    values = numpy.array([math.nan if value is None else value for value in table["value"].to_pylist()])
    # The quality, and whether it is partial.
    statuses = numpy.array(table["status"].to_pylist()) & 0xFFFF0004
    tags = [tag.split(".", 1)[1] for tag in table["tag"].to_pylist()]
    return tags, table["time"].to_pylist(), values, statuses


def compare_exact(report, cursor):
    for interval in RANGES:
        for aggregate in EXACT:
            tags, times, values, statuses = processed(cursor, "raw", aggregate, interval)
            found = processed(cursor, "reduced", aggregate, interval)
            same = tags == found[0] and times == found[1] and (statuses == found[3]).all()
            scale = numpy.maximum(numpy.abs(values), 1e-6)
            error = numpy.nanmax(numpy.abs(values - found[2]) / scale)
            gaps = (numpy.isnan(values) == numpy.isnan(found[2])).all()
            detail = f"largest relative difference {error:.1e}"
            report.check(f"{aggregate} of each {interval}: {detail}", same and gaps and error <= 1e-9, f"times, statuses: {same}, gaps: {gaps}")


def table(report, cursor, ranges, counts):
    """What is healed, for the documentation: errors of hourly averages in percent of the span."""
    report.note("| tag | samples | kept | error of the hourly Average without summaries | with | of the TimeAverage without | with |")
    report.note("| --- | --- | --- | --- | --- | --- | --- |")
    worst = {}
    for aggregate in ["Average", "TimeAverage"]:
        tags, _, values, _ = processed(cursor, "raw", aggregate, "1 hour")
        for kind in ["kept", "reduced"]:
            found = processed(cursor, kind, aggregate, "1 hour")[2]
            for tag, error in zip(tags, numpy.abs(values - found)):
                if not math.isnan(error):
                    low, high = ranges[PREFIX["raw"] + tag]
                    key = (tag, aggregate, kind)
                    worst[key] = max(worst.get(key, 0), 100 * error / (high - low))
    for tag in sorted(tag for tag, kind in counts if kind == "raw"):
        samples, kept = counts[tag, "raw"], counts[tag, "reduced"]
        cells = [f"{worst[tag, aggregate, kind]:.2g} %" for aggregate in ["Average", "TimeAverage"] for kind in ["kept", "reduced"]]
        report.note(f"| {tag} | {samples} | {kept} ({100 * kept / samples:.1f} %) | {' | '.join(cells)} |")
    bent = max(error for (_, _, kind), error in worst.items() if kind == "kept")
    healed = max(error for (_, _, kind), error in worst.items() if kind == "reduced")
    report.check("kept samples alone bend averages", bent > 0.05, bent)
    report.check("with summaries they are exact", healed < 1e-7, healed)


def show_sizes(report, server, tags, filters):
    said = server.must("reduction", "preview", "--tags", tags, "--from", "2020-01-01", "--to", "2021-01-01", *filters).splitlines()[-1]
    sizes = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", said)}
    each = {name: sizes[name] / sizes["samples"] for name in ("bytes", "bytes_kept", "bytes_summaries")}
    report.note(f"bytes a sample of {tags}: {each['bytes']:.2f} as it came; kept {each['bytes_kept']:.3f} and summaries {each['bytes_summaries']:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exc-dev", default="0.5%")
    parser.add_argument("--comp-dev", default="1%")
    arguments = parser.parse_args()
    report = lib.Report("reduction")
    if not (lib.SHARED / "data" / SET).exists():
        report.skip(SET, "the set is not here")
        report.end()
    floats = [row for row in rows_of_set() if row["tag"].split(".")[-1] not in ("anomaly", "changepoint", "experiment")]
    ranges = spans(floats)
    with lib.scratch() as folder:
        server = lib.Server(folder / "data").start()
        try:
            write_copy(folder / "raw.csv", floats, "raw")
            write_copy(folder / "reduced.csv", floats, "reduced")
            server.must("import", str(folder / "raw.csv"))
            for tag, (low, high) in ranges.items():
                server.must("tags", "set", tag, "--low", str(low), "--high", str(high))
                name = tag.replace(PREFIX["raw"], PREFIX["reduced"])
                server.must("tags", "create", name, "--type", "float64", "--low", str(low), "--high", str(high))
            filters = ["--exc-dev", arguments.exc_dev, "--comp-dev", arguments.comp_dev]
            said = server.must("reduction", "set", "--tags", "REDUCED.*", *filters)
            report.check("reduction set", said.startswith(f"changed={len(ranges)} "), said)
            done = lib.accounting(server.must("import", str(folder / "reduced.csv")))
            report.equal("all rows are accounted for", done["stored"] + done["reduced"], len(floats))
            report.check("most of them are left out", done["reduced"] > len(floats) / 2, done)
            server.kill()
            server.start()
            counted = "SELECT tag, count(*) AS n FROM samples GROUP BY tag"
            counts = {(row["tag"].split(".", 1)[1], "reduced" if row["tag"].startswith("RED") else "raw"): row["n"] for row in asked(server, counted)}
            kept = sum(n for (_, kind), n in counts.items() if kind == "reduced")
            # Both filters: one of each tag may still have to be counted as left out.
            report.check("what is there after kill -9 is what was stored", 0 <= done["stored"] - kept <= len(ranges), f"{kept}, {done}")
            current = {row["tag"].split(".", 1)[1]: [] for row in asked(server, "SELECT tag FROM tags")}
            for row in asked(server, "SELECT tag, time, value FROM current_values"):
                current[row["tag"].split(".", 1)[1]].append((row["time"], row["value"]))
            report.check("current values are the newest samples", all(a == b for a, b in current.values()), current)
            server.must("compact")
            server.must("export", "--tags", "REDUCED.*", "--from", "2020-01-01", "--to", "2021-01-01", "-o", str(folder / "kept.csv"))
            with open(folder / "kept.csv", newline="") as file:
                stored = [{"tag": row["tag"].replace(PREFIX["reduced"], PREFIX["raw"]), "timestamp": row.get("timestamp", row.get("time")), "value": row["value"], "quality": "192"} for row in csv.DictReader(file)]
            came = {(row["tag"], row["timestamp"], float(row["value"])) for row in floats}
            report.check("what is kept came", all((row["tag"], row["timestamp"], float(row["value"])) in came for row in stored), stored[:2])
            write_copy(folder / "copy.csv", stored, "kept")
            server.must("import", str(folder / "copy.csv"))
            with adbc_driver_flightsql.dbapi.connect(f"grpc://127.0.0.1:{server.grpc}", autocommit=True) as connection:
                with connection.cursor() as cursor:
                    compare_exact(report, cursor)
                    table(report, cursor, ranges, counts)
            for tags in ["SKAB.*"] + sorted(ranges):
                show_sizes(report, server, tags, filters)
        finally:
            server.kill()
    report.end()


if __name__ == "__main__":
    main()
