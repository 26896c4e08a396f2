"""Bytes a sample after one flush of a whole set, and what a query of one tag and hour reads.

The limits are those of the design, with 8 % on top; W1 is the synthetic plant of `plant.py`.
"""

import argparse
import pathlib
import re
import statistics
import time

import adbc_driver_flightsql.dbapi
import pyarrow.parquet

import doors
import front
import lib
import plant

LIMITS = {"skab_pump_rig": 1.53 * 1.08, "bibmon_petrobras": 0.95 * 1.08, "nab_machine_temperature": 4.8, "W1": 2.36 * 1.08}
QUERY = "SELECT time, value, quality FROM samples WHERE tag = '{tag}' AND time >= '{start}' AND time < '{end}'"


def measure(report, name, server, *arguments):
    """Imports, flushes once, and holds the segments to the limit; gives the number of rows."""
    began = time.monotonic()
    counts = lib.accounting(server.must("import", *arguments))
    took = time.monotonic() - began
    server.must("flush")
    files = [f.stat().st_size for f in (server.data / "segments").glob("*.parquet")]
    kept = counts["stored"]
    each = sum(files) / kept
    report.note(f"{name}: {kept} samples, {sum(files)} bytes in {len(files)} segments; imported in {took:.1f} s")
    report.check(f"{name}: {each:.3f} bytes a sample, at most {LIMITS[name]:.3f}", each <= LIMITS[name], "too many")
    return kept


def check_pages(report, server, tag, rows_of_tag, rows):
    """One tag, one hour: pages in proportion, and time inside the server."""
    sql = QUERY.format(tag=tag, start="2026-01-01T00:00:00Z", end="2026-01-01T01:00:00Z")
    plan = server.must("sql", "--format", "csv", "EXPLAIN ANALYZE " + sql)
    numbers = {name: sum(int(n) for n in re.findall(rf"\b{name}=(\d+)", plan)) for name in ("pages_read", "pages_skipped")}
    report.note(f"one tag, one hour of {rows} rows: {numbers}")
    # A run of 3600 rows lies in at most two pages of 20,480 rows; five columns have bytes.
    report.check("one tag, one hour: few pages are read", 0 < numbers["pages_read"] <= 2 * 8, f"{numbers}: {plan[:1500]}")
    report.equal("one tag, one hour: all its rows", len(doors.adbc(server, sql)), rows_of_tag)
    times = [float(ms) for ms in re.findall(r"elapsed_compute=([\d.]+)(?:ms|µs|ns)", plan)]
    report.check("EXPLAIN ANALYZE shows times", bool(times), plan[:500])
    warm(report, server, sql)
    check_counts(report, server)


def check_counts(report, server):
    """What directories know is not read: while planning, or in a scan whose metrics say so."""
    plan = server.must("sql", "--format", "csv", "EXPLAIN ANALYZE SELECT count(*) FROM samples")
    report.check("count(*) needs no scan", "SampleScanExec" not in plan and "PlaceholderRowExec" in plan, plan[:1500])
    for sql, reads in [
        ("SELECT tag, count(*) FROM samples GROUP BY tag", False),
        ("SELECT count(*) FROM samples WHERE time < '2026-01-01T00:30:00Z'", True),
    ]:
        plan = server.must("sql", "--format", "csv", "EXPLAIN ANALYZE " + sql)
        read = [int(n) for n in re.findall(r"\bpages_read=(\d+)", plan)]
        report.check(f"the plan of {sql} shows pages", bool(read), plan[:1500])
        report.check(f"{sql} reads {'some pages' if reads else 'no page'}", (sum(read) > 0) == reads, f"{read}: {plan[:1500]}")


def warm(report, server, sql):
    """Warm times inside the server, from its own histogram, and as a client on an open connection sees them."""
    taken = []
    with adbc_driver_flightsql.dbapi.connect(f"grpc://127.0.0.1:{server.grpc}", autocommit=True) as connection:
        with connection.cursor() as cursor:
            for number in range(60):
                if number == 10:
                    before = front.query_seconds(server)
                began = time.perf_counter()
                cursor.execute(sql)
                cursor.fetch_arrow_table()
                taken.append((time.perf_counter() - began) * 1000)
    after = front.query_seconds(server)
    mean = (after[0] - before[0]) / max(1, after[1] - before[1]) * 1000
    median = statistics.median(taken[10:])
    report.note(f"one tag, one hour, warm: mean {mean:.2f} ms inside the server, median {median:.2f} ms seen by the client")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="skab_pump_rig, bibmon_petrobras, nab_machine_temperature, W1; default all")
    arguments = parser.parse_args()
    lib.need_binary()
    report = lib.Report("size")
    with lib.scratch() as folder:
        for name in arguments.names or LIMITS:
            data = lib.SHARED / "data" / name / "data.csv.gz"
            source = lib.SHARED / "bench/gen.py" if name == "W1" else data
            if not source.exists():
                report.skip(name, f"{source} is absent")
                continue
            with report.guard(name), lib.Server(pathlib.Path(folder) / name) as server:
                if name == "W1":
                    samples = plant.importable(3000, 3600)
                    kept = measure(report, name, server, samples)
                    tag = pyarrow.parquet.read_table(samples, columns=["tag"]).column("tag")[0].as_py()
                    check_pages(report, server, tag, 3600, kept)
                else:
                    measure(report, name, server, data, "--tags", data.parent / "tags.csv")
                server.stop()
    report.end()


if __name__ == "__main__":
    main()
