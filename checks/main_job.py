"""The main job on real input: what is imported comes back the same through three doors.

For every set of plant data (a missing one is skipped) and for a generated one: import, account,
compare with what pandas computes from the CSV, flush, restart, import again, stop, export and
import the export into a second server. `--short` leaves out sets of over 400,000 rows.
"""

import argparse
import csv
import gzip
import pathlib
import time

import pandas

import doors
import front
import generate
import lib
import model

SETS = [
    "bibmon_petrobras", "hill_of_towie_flags", "nab_machine_temperature", "skab_pump_rig", "steel_energy",
    "wtphm_turbine_events",
]
ROWS_COMPARED_MAX = 400_000


def import_and_account(report, what, server, world, data, folder, tags=None):
    """Imports into the server and into the model; both have to count the same."""
    expected = world.load(data)
    rejects = folder / "rejects.csv"
    rejects.unlink(missing_ok=True)
    options = ["--tags", tags] if tags else []
    done = server.run("import", data, *options, "--rejects", rejects)
    if not report.check(f"{what}: exit status 0", done.returncode == 0, f"{done.returncode}: {done.stderr[-500:]}"):
        return
    report.equal(f"{what}: accounting line", lib.accounting(done.stdout), expected)
    listed = list(csv.reader(rejects.open(encoding="utf-8", newline=""))) if rejects.exists() else []
    report.equal(f"{what}: rejected rows in --rejects", max(0, len(listed) - 1), expected["rejected"])


def compare(report, what, expected, totals, contents=None, summary=None):
    """Compares a door's answers with the model."""
    with report.guard(what):
        if summary is not None:
            difference = doors.summary_difference(summary(), totals)
            report.check(f"{what}: rows, sums, qualities, first and last times per tag", not difference, difference)
        if contents is not None and len(expected) <= ROWS_COMPARED_MAX:
            difference = doors.contents_difference(contents(), expected)
            report.check(f"{what}: every sample", not difference, difference)


def compare_server(report, what, server, world, folder, every_format=False):
    """The two doors of a running server."""
    expected = world.contents()
    totals = doors.summary(expected)
    ordered = doors.CONTENTS + " ORDER BY tag, time"
    compare(
        report, f"{what}, tagus sql --format csv", expected, totals,
        (lambda: doors.sql_csv(server, ordered, folder)) if every_format else None,
        lambda: doors.sql_csv(server, doors.SUMMARY, folder),
    )
    compare(
        report, f"{what}, tagus sql --format json", expected, totals,
        (lambda: doors.sql_json(server, ordered)) if every_format else None,
        lambda: doors.sql_json(server, doors.SUMMARY),
    )
    compare(
        report, f"{what}, ADBC Flight SQL", expected, totals,
        lambda: doors.adbc(server, doors.CONTENTS), lambda: doors.adbc(server, doors.SUMMARY),
    )


def compare_files(report, what, server, world):
    """The third door: DuckDB on the segments."""
    expected = world.contents()
    with report.guard(what):
        files = doors.Files(server.data)
        compare(
            report, what, expected, doors.summary(expected),
            lambda: files(doors.CONTENTS), lambda: files(doors.SUMMARY),
        )


def run_set(report, name, data, folder):
    """One set from import to the last door."""
    report.note(f"-- {name}")
    world = model.Model(time.time_ns())
    world.declare(data.parent / "tags.csv")
    every_format = name in ("generated", "wtphm_turbine_events")
    server = lib.Server(folder / "data")
    with server:
        import_and_account(report, f"{name}, import", server, world, data, folder, data.parent / "tags.csv")
        compare_server(report, f"{name}, before the flush", server, world, folder, every_format)
        listed = server.must("flush")
        report.check(f"{name}, flush lists segments", ".parquet" in listed, listed)
        compare_files(report, f"{name}, DuckDB after the flush", server, world)
        compare_server(report, f"{name}, after the flush", server, world, folder)
        report.equal(f"{name}, clean stop", server.stop(), 0)
        server.start()
        compare_server(report, f"{name}, after a restart", server, world, folder, every_format)
        import_and_account(report, f"{name}, import again", server, world, data, folder)
        compare_server(report, f"{name}, after the second import", server, world, folder)
        if len(world.contents()) <= ROWS_COMPARED_MAX:
            export_and_import(report, name, server, world, folder)
        delete_and_compare(report, name, server, world, folder)
        report.equal(f"{name}, clean stop again", server.stop(), 0)
        compare_files(report, f"{name}, DuckDB after the stop", server, world)


def export_and_import(report, name, server, world, folder):
    """What is exported and imported elsewhere is the same."""
    tags = folder / "exported-tags.csv"
    tags.write_text(server.must("tags", "list", "--format", "csv"), encoding="utf-8")
    expected = world.contents()
    for ending in ("csv", "parquet"):
        what = f"{name}, export to {ending} and import"
        with report.guard(what):
            path = folder / f"export.{ending}"
            server.must("export", "--tags", "*", "--from", "1900-01-01", "--to", "2261-12-31T23:59:59Z", "-o", path)
            with lib.Server(folder / f"second-{ending}") as second:
                counts = lib.accounting(second.must("import", path, "--tags", tags))
                rows = len(expected)
                wanted = dict(rows=rows, stored=rows, replaced=0, duplicate=0, reduced=0, coerced=0, rejected=0)
                report.equal(f"{what}: accounting line", counts, wanted)
                difference = doors.contents_difference(doors.adbc(second, doors.CONTENTS), expected)
                report.check(f"{what}: every sample", not difference, difference)
                second.stop()


def delete_and_compare(report, name, server, world, folder):
    """What is deleted is gone through every door: in the log, beside the segments, merged."""
    contents = world.contents()
    times = sorted(contents["time"])
    quarter, middle, late = (times[len(times) * part // 4] // 10**9 * 10**9 for part in (1, 2, 3))
    first = contents["tag"].iloc[0]
    utc = lambda time: pandas.Timestamp(time, unit="ns", tz="UTC").isoformat()
    for glob, start, end in [("*", quarter, middle), (first, times[0], late), ("no.such.*", times[0], middle)]:
        expected = world.delete(glob, start, end)
        done = server.must("delete", "--tags", glob, "--from", utc(start), "--to", utc(end))
        report.check(f"{name}, delete {glob}: samples", done.startswith(f"samples={expected} tags="), f"{done!r}, expected {expected}")
    compare_server(report, f"{name}, after deletes", server, world, folder)
    server.must("flush")
    compare_files(report, f"{name}, DuckDB after deletes and a flush", server, world)
    server.kill()
    server.start()
    compare_server(report, f"{name}, after deletes and a kill", server, world, folder)
    server.must("compact")
    compare_server(report, f"{name}, after deletes and merges", server, world, folder)
    with report.guard(f"{name}, rows on disk"):
        on_disk = doors.duck().sql(f"SELECT count(*) AS n FROM '{server.data}/segments/*.parquet'").to_df()["n"][0]
        report.equal(f"{name}, rows on disk after deletes and merges", on_disk, len(world.contents()))


def check_undeclared_refused(report, folder):
    """A server that creates no tags refuses their samples, wherever their first values stand."""
    config = folder / "no-auto-create.toml"
    config.write_text("auto_create = false\n")
    data = folder / "undeclared.csv"
    rows = "".join(f"known,{second},{second}\n" for second in range(20_000))
    data.write_text(f"tag,time,value\nA,1,\n{rows}A,2,ready\n")
    with report.guard("undeclared tags"), lib.Server(folder / "no-auto-create", config) as server:
        server.must("tags", "create", "known", "--type", "float64")
        rejects = folder / "undeclared-rejects.csv"
        done = server.must("import", data, "--time-unit", "s", "--rejects", rejects)
        wanted = dict(rows=20_002, stored=20_000, replaced=0, duplicate=0, reduced=0, coerced=0, rejected=2)
        report.equal("auto_create = false: undeclared tags are rejected", lib.accounting(done), wanted)
        report.equal("auto_create = false: reasons", rejects.read_text().count("auto_create is off"), 2)
        report.equal("auto_create = false: no tag is created", server.must("tags", "list", "--format", "csv").count("\n"), 2)


def check_export_numbers(report, folder):
    """Other tools find numbers in an exported Parquet file, and the digits of large integers."""
    with report.guard("export for other tools"), lib.Server(folder / "numbers") as server:
        server.must("tags", "create", "big", "--type", "int64")
        server.must("write", "-", stdin="n,2024-01-01T00:00:00Z,1.5\nn,2024-01-01T00:00:01Z,2.5\nbig,2024-01-01T00:00:00Z,9007199254740993\n")
        path = folder / "numbers.parquet"
        server.must("export", "--tags", "*", "--from", "2024-01-01", "--to", "2025-01-01", "-o", path)
        frame = pandas.read_parquet(path)
        report.equal("pandas finds the columns of samples", list(frame.columns), ["tag", "time", "value", "text", "quality", "status"])
        report.equal("pandas computes with values", frame[frame.tag == "n"].value.mean(), 2.0)
        report.equal("digits of an integer beyond 2^53", list(frame[frame.tag == "big"].text), ["9007199254740993"])


def check_empty_texts(report, folder):
    """An empty string is a value of a text tag, an empty cell is none; exports keep them apart."""
    with report.guard("empty texts"), lib.Server(folder / "texts") as server:
        server.must("tags", "create", "T", "--type", "text")
        data = folder / "texts.csv"
        data.write_text('tag,time,value\nT,2024-01-01T00:00:00Z,""\nT,2024-01-01T00:00:01Z,\n', encoding="utf-8")
        server.must("import", data)
        before = doors.adbc(server, doors.CONTENTS + " ORDER BY time")
        report.equal("an empty string and an empty cell", list(before["text"]), ["", None])
        for ending in ("csv", "parquet"):
            path = folder / f"texts-export.{ending}"
            server.must("export", "--tags", "T", "--from", "2024-01-01", "--to", "2025-01-01", "-o", path)
            done = lib.accounting(server.must("import", path))
            report.equal(f"both imported again from {ending} are duplicates", done and done["duplicate"], 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="leave out sets of over 400,000 rows")
    parser.add_argument("sets", nargs="*", help="names of sets; default: generated and all that are there")
    arguments = parser.parse_args()
    lib.need_binary()
    report = lib.Report("main job")
    view = (lib.ROOT / "checks/duckdb_view.sql").read_text(encoding="utf-8")
    report.check("README shows the view that is checked here", view in (lib.ROOT / "README.md").read_text(encoding="utf-8"))
    names = arguments.sets or ["generated", *SETS]
    with lib.scratch() as folder:
        for name in names:
            data = lib.SHARED / "data" / name / "data.csv.gz"
            if name == "generated":
                data = generate.generate(folder / "generated-input")
            if not data.exists():
                report.skip(name, f"{data} is absent")
                continue
            if arguments.short and sum(1 for _ in gzip.open(data)) > ROWS_COMPARED_MAX:
                report.skip(name, "left out of the short form")
                continue
            with report.guard(name):
                part = pathlib.Path(folder) / name
                part.mkdir()
                run_set(report, name, data, part)
        check_empty_texts(report, folder)
        check_undeclared_refused(report, folder)
        check_export_numbers(report, folder)
        front.check_front(report, folder)
    report.end()


if __name__ == "__main__":
    main()
