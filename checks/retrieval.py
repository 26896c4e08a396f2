"""Retrieval over the synthetic plant: answers against numpy, and how long they take.

`retrieval.py [--tags N] [--seconds S]`. The answers of a few functions are worked out here once more,
by other means; times are told, not judged.
"""

import argparse
import statistics
import time

import adbc_driver_flightsql.dbapi
import numpy
import pandas
import pyarrow.parquet

import front
import lib
import plant

DAY = "'2026-01-01T00:00:00Z'"
START = pandas.Timestamp("2026-01-01", tz="UTC").value
SECOND = 10**9


def asked(cursor, sql):
    cursor.execute(sql)
    return cursor.fetch_arrow_table().to_pandas()


def timed(report, server, cursor, what, sql, samples, repeats=15):
    """Median time as a client on an open connection sees it, warm, and the mean of the server's own."""
    taken = []
    for number in range(repeats):
        if number == 2:
            before = front.query_seconds(server)
        began = time.perf_counter()
        rows = len(asked(cursor, sql))
        taken.append(time.perf_counter() - began)
    after = front.query_seconds(server)
    inside = (after[0] - before[0]) / (after[1] - before[1])
    median = statistics.median(taken[2:])
    report.note(f"{what}: {median * 1000:.2f} ms, {inside * 1000:.2f} ms in the server, {rows} rows, {samples / median / 1e6:.1f} M samples/s")


def nanoseconds(column):
    return column.astype("datetime64[ns, UTC]").astype("int64").to_numpy()


def compare(report, cursor, samples, tag, seconds):
    """One tag whose samples are all good, against numpy."""
    of_tag = samples[samples["tag"] == tag].sort_values("time")
    times, values = of_tag["time"].to_numpy(), of_tag["value"].to_numpy(dtype=float)
    end = f"to_timestamp_nanos({START + seconds * SECOND})"

    found = asked(cursor, f"SELECT * FROM interpolated('{tag}', {DAY}, {end}, '7s')")
    grid = START + numpy.arange(0, seconds, 7) * SECOND
    inside = (grid >= times[0]) & (grid <= times[-1])
    report.equal(f"interpolated {tag}: a row for each step", len(found), len(grid))
    # Nanoseconds since 1970 do not fit a double, those since the start do.
    expected = numpy.interp((grid[inside] - START).astype(float), (times - START).astype(float), values)
    given = found["value"].to_numpy(dtype=float)[inside]
    report.check(f"interpolated {tag}: as numpy has it", numpy.allclose(given, expected, rtol=1e-9, atol=1e-9), "differs")

    found = asked(cursor, f"SELECT * FROM processed('{tag}', 'Average', {DAY}, {end}, '1 minute')")
    minutes = pandas.Series(values).groupby((times - START) // (60 * SECOND)).mean()
    report.check(f"Average of minutes of {tag}", numpy.allclose(found["value"].to_numpy(dtype=float), minutes, rtol=1e-9), "differs")

    found = asked(cursor, f"SELECT * FROM processed('{tag}', 'Total', {DAY}, {end}, '0s')")
    area = numpy.trapezoid(values, (times - times[0]) / SECOND)
    # After the last sample its value holds.
    area += values[-1] * (START + seconds * SECOND - times[-1]) / SECOND
    report.check(f"Total of {tag}", numpy.isclose(found["value"][0], area, rtol=1e-9), f"{found['value'][0]}, expected {area}")

    found = asked(cursor, f"SELECT * FROM plot('{tag}', {DAY}, {end}, 100)")
    width = seconds * SECOND / 100
    pixels = pandas.DataFrame({"pixel": ((times - START) / width).astype(int), "value": values}).groupby("pixel")["value"]
    shown_times = nanoseconds(found["time"])
    shown = pandas.DataFrame({"pixel": ((shown_times - START) / width).astype(int), "value": found["value"]}).groupby("pixel")["value"]
    same = (shown.min() == pixels.min()).all() and (shown.max() == pixels.max()).all()
    report.check(f"plot of {tag}: the extremes of each pixel", bool(same), "differ")
    report.check(f"plot of {tag}: at most 5 rows a pixel", int(shown.size().max()) <= 5, int(shown.size().max()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tags", type=int, default=3000)
    parser.add_argument("--seconds", type=int, default=3600)
    arguments = parser.parse_args()
    lib.need_binary()
    report = lib.Report("retrieval")
    if not (lib.SHARED / "bench/gen.py").exists():
        report.skip("retrieval", "the generator is absent")
        report.end()
    with lib.scratch() as folder:
        file = plant.importable(arguments.tags, arguments.seconds)
        table = pyarrow.parquet.read_table(file)
        samples = table.to_pandas().rename(columns={"timestamp": "time"})
        samples["time"] = nanoseconds(samples["time"])
        with lib.Server(folder / "W1") as server:
            server.must("import", file, timeout=900)
            server.must("compact", timeout=900)
            rows, each = len(samples), len(samples) / arguments.tags
            end = f"to_timestamp_nanos({START + arguments.seconds * SECOND})"
            with adbc_driver_flightsql.dbapi.connect(f"grpc://127.0.0.1:{server.grpc}", autocommit=True) as connection:
                with connection.cursor() as cursor:
                    status = samples["status"] if "status" in samples else pandas.Series(0, index=samples.index)
                    status = status.fillna(0)
                    bad = set(samples.loc[(status != 0) & (status != "Good") & (status != ""), "tag"])
                    numeric = pandas.to_numeric(samples["value"], errors="coerce").notna().groupby(samples["tag"]).all()
                    linear = asked(cursor, "SELECT tag FROM tags WHERE interpolation = 'linear'")["tag"]
                    sound = [tag for tag in linear if tag not in bad and numeric.get(tag, False)]
                    for tag in sound[:3]:
                        compare(report, cursor, samples, tag, arguments.seconds)
                    report.check("there are tags to compare", len(sound) >= 3, len(sound))
                    tag = sound[0]
                    timed(report, server, cursor, "plot, one tag, whole range, 1000 pixels",
                          f"SELECT time, value FROM plot('{tag}', {DAY}, {end}, 1000)", each)
                    timed(report, server, cursor, "hourly average of 100 tags",
                          f"SELECT tag, value FROM processed(ARRAY[{', '.join(repr(t) for t in sorted(linear)[:100])}], 'Average', {DAY}, {end}, '1 hour')", each * 100)
                    timed(report, server, cursor, "time-weighted minute averages of all tags",
                          f"SELECT tag, time, value FROM processed('*', 'TimeAverage2', {DAY}, {end}, '1 minute')", rows, 5)
                    timed(report, server, cursor, "the same without sending them",
                          f"SELECT count(*), sum(value) FROM processed('*', 'TimeAverage2', {DAY}, {end}, '1 minute')", rows, 5)
                    timed(report, server, cursor, "interpolated, 50 tags, every 10 s",
                          f"SELECT tag, time, value FROM interpolated(ARRAY[{', '.join(repr(t) for t in sorted(linear)[:50])}], {DAY}, {end}, '10s')", each * 50)
                    timed(report, server, cursor, "bad-quality time of every tag",
                          f"SELECT tag, value FROM processed('*', 'DurationBad', {DAY}, {end}, '0s')", rows, 5)
            report.equal("clean stop", server.stop(), 0)
    report.end()


if __name__ == "__main__":
    main()
