"""kill -9 of the server during imports: nothing acknowledged is lost, nothing is stored twice.

`kill9.py [--kills N] [--rows R] [--seed S]`. The import keeps running while the server dies and
comes back; it has to end with the totals of an uninterrupted one. A small writer beside it notes
what was acknowledged; after each restart all of that has to be there. A second part kills the
import itself and starts it again.
"""

import argparse
import random
import signal
import subprocess
import os
import threading
import time

import numpy
import pandas
import pyarrow
import pyarrow.csv

import doors
import lib

TAGS = 200
WHOLE = "whole.numbers"
START = 1_420_070_400_000  # 2015-01-01T00:00:00Z in milliseconds


class Load:
    """A CSV in scan order with copies further down: equal ones and ones with another value."""

    def __init__(self, path, rows, number, generator, copies=0.02):
        seconds = max(1, rows // TAGS)
        rows = seconds * TAGS
        second = numpy.repeat(numpy.arange(seconds), TAGS) + number * 1_000_000
        tag = numpy.tile(numpy.arange(TAGS), seconds)
        value = numpy.round(generator.normal(100, 20, rows), 2)
        chosen = generator.permutation(rows)[: int(rows * copies)]
        changed = chosen[: len(chosen) // 2]
        final = value.copy()
        final[changed] += 1
        place = numpy.concatenate([numpy.arange(rows), chosen + generator.integers(1, 50_000, len(chosen)) + 0.5])
        # One row in 500 is for a tag that takes whole numbers only, and is rejected.
        refused = generator.integers(0, rows, rows // 500) + generator.random(rows // 500)
        place = numpy.concatenate([place, refused])
        order = numpy.argsort(place, kind="stable")
        source = numpy.concatenate([numpy.arange(rows), chosen, refused.astype(int)])[order]
        written = numpy.concatenate([value, final[chosen], numpy.full(len(refused), 0.5)])[order]
        kept = order < rows + len(chosen)
        self.path = path
        self.contents = pandas.DataFrame({"tag": tag, "time": (START + second * 1000) * 10**6, "value": final})
        stored, replaced, duplicate = rows, len(changed), len(chosen) - len(changed)
        self.counts = dict(
            rows=len(order), stored=stored, replaced=replaced, duplicate=duplicate, reduced=0, coerced=0, rejected=len(refused)
        )
        names = pyarrow.array([f"kill.{i:03}" for i in range(TAGS)] + [WHOLE])
        columns = {
            "tag": names.take(pyarrow.array(numpy.where(kept, tag[source], TAGS))),
            "timestamp": pyarrow.array(self.contents["time"].to_numpy()[source] // 10**6).cast(pyarrow.timestamp("ms", "UTC")),
            "value": pyarrow.array(written),
        }
        pyarrow.csv.write_csv(pyarrow.table(columns), path)


class SmallWriter(threading.Thread):
    """Writes one sample after the other with `tagus write`; exit status 0 means acknowledged."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.ended = server, threading.Event()
        self.attempted, self.acknowledged = 0, set()

    def run(self):
        while not self.ended.is_set():
            number = self.attempted
            self.attempted += 1
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START // 1000 + number))
            if self.server.run("write", "small.writer", number, "--time", moment).returncode == 0:
                self.acknowledged.add(number)
            time.sleep(0.01)

    def missing(self):
        """What is wrong with the samples that are there; empty if nothing is."""
        acknowledged = set(self.acknowledged)
        sql = "SELECT time, value FROM samples WHERE tag = 'small.writer' ORDER BY time"
        found = doors.adbc(self.server, sql)
        numbers = ((found["time"] // 10**9) - START // 1000).tolist()
        if len(set(numbers)) != len(numbers):
            return "a sample is there twice"
        if numbers != [int(v) for v in found["value"]]:
            return "a sample has another value than was written"
        if not set(numbers) <= set(range(self.attempted)):
            return "a sample is there that nobody wrote"
        lost = sorted(acknowledged - set(numbers))
        return f"{len(lost)} of {len(acknowledged)} acknowledged samples are lost, first {lost[:5]}" if lost else ""


def start_import(server, load):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TAGUS_")} | {"TAGUS_URL": server.url}
    rejects = load.path.with_suffix(".rejects.csv")
    rejects.unlink(missing_ok=True)
    command = [str(lib.BINARY), "import", str(load.path), "--rejects", str(rejects)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(report, what, process, load):
    """Waits for an import and holds its accounting to what it has to be."""
    try:
        out, err = process.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        process.kill()
        report.check(f"{what} ends", False, "it still runs after 600 s")
        return
    ok = report.check(f"{what}: exit status 0", process.returncode == 0, err[-500:])
    if ok:
        report.equal(f"{what}: accounting line", lib.accounting(out), load.counts)
        rejects = pandas.read_csv(load.path.with_suffix(".rejects.csv"))
        lines, reasons = rejects["line"].nunique(), rejects["reason"].str.contains("no whole number").sum()
        wanted = (load.counts["rejected"],) * 3
        report.equal(f"{what}: each rejected row once in --rejects, with its reason", (len(rejects), lines, reasons), wanted)


def compare(report, what, server, loads):
    """Every sample of all loads, once and with its last value."""
    with report.guard(what):
        found = doors.adbc(server, "SELECT tag, time, value FROM samples WHERE tag LIKE 'kill.%'")
        found["tag"] = found["tag"].str.slice(5).astype(int)
        expected = pandas.concat([load.contents for load in loads], ignore_index=True)
        report.equal(f"{what}: number of samples", len(found), len(expected))
        found = found.sort_values(["tag", "time"], ignore_index=True)
        expected = expected.sort_values(["tag", "time"], ignore_index=True)
        same = len(found) == len(expected) and bool((found.to_numpy() == expected.to_numpy()).all())
        report.check(f"{what}: every sample once, with its last value", same, "contents differ")


def kill_server(report, arguments, folder, dice, generator):
    """Part one: the server dies, the import goes on."""
    load = Load(folder / "load-0.csv", arguments.rows, 0, generator)
    with lib.Server(folder / "quiet") as quiet:
        quiet.must("tags", "create", WHOLE, "--type", "int64")
        began = time.monotonic()
        finish(report, "an uninterrupted import", start_import(quiet, load), load)
        quiet_seconds = time.monotonic() - began
        quiet.stop()
    report.note(f"uninterrupted: {load.counts['rows']} rows in {quiet_seconds:.1f} s")
    loads, kills, checks_failed = [], 0, []
    with lib.Server(folder / "data") as server:
        server.must("tags", "create", WHOLE, "--type", "int64")
        writer = SmallWriter(server)
        writer.start()
        while kills < arguments.kills and len(loads) < 100:
            load = Load(folder / "load.csv", arguments.rows, len(loads), generator)
            loads.append(load)
            process, kills_before = start_import(server, load), kills
            while kills < arguments.kills and process.poll() is None:
                time.sleep(dice.uniform(0.05, max(0.4, quiet_seconds * 0.6)))
                if process.poll() is not None:
                    break
                server.kill()
                kills += 1
                time.sleep(dice.choice([0, 0.1, 0.5]))
                server.start()
                trouble = writer.missing()
                if trouble:
                    checks_failed.append(f"kill {kills}: {trouble}")
            finish(report, f"import {len(loads)}, {kills - kills_before} kills", process, load)
        writer.ended.set()
        writer.join(120)
        report.check(f"{kills} kills during imports", kills >= arguments.kills, kills)
        report.check("after each: everything acknowledged is there, once", not checks_failed, checks_failed)
        report.check("the small writer got acknowledgements", len(writer.acknowledged) > kills, len(writer.acknowledged))
        report.note(f"small writer: {len(writer.acknowledged)} of {writer.attempted} acknowledged")
        trouble = writer.missing()
        report.check("at the end: everything acknowledged is there, once", not trouble, trouble)
        compare(report, "after all kills", server, loads)
        report.equal("clean stop", server.stop(), 0)
    check_files(report, folder / "data", loads)
    return quiet_seconds


def check_files(report, data, loads):
    with report.guard("DuckDB after the stop"):
        rows = int(doors.Files(data)("SELECT count(*) AS n FROM samples WHERE tag LIKE 'kill.%'")["n"][0])
        report.equal("DuckDB after the stop: number of samples", rows, sum(len(load.contents) for load in loads))


def kill_import(report, arguments, folder, dice, generator, quiet_seconds):
    """Part two: the import dies and is started again; what was there counts as duplicate."""
    load = Load(folder / "load.csv", arguments.rows, 200, generator, copies=0)
    rows = load.counts["rows"]
    with lib.Server(folder / "other") as server:
        server.must("tags", "create", WHOLE, "--type", "int64")
        for _ in range(arguments.import_kills):
            process = start_import(server, load)
            time.sleep(dice.uniform(0.05, 0.6 * quiet_seconds))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        there = int(doors.adbc(server, "SELECT count(*) AS n FROM samples")["n"][0])
        out, err = start_import(server, load).communicate(timeout=600)
        counts = lib.accounting(out) or {}
        report.check("a restarted import ends", bool(counts), err[-500:])
        report.note(f"restarted import: {counts}, {there} samples seen before it")
        sums = (counts.get("stored", 0) + counts.get("duplicate", 0), counts.get("replaced"), counts.get("rejected"))
        rejected = load.counts["rejected"]
        report.equal("stored, duplicate and rejected make up all rows, nothing is replaced", sums, (rows - rejected, 0, rejected))
        report.check("what was seen before counts as duplicate", counts.get("duplicate", -1) >= there, counts)
        compare(report, "after the restarts", server, [load])
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="kills of the server (20)")
    parser.add_argument("--import-kills", type=int, default=5, help="kills of the import (5)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of one import (1,000,000)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9), help="else a random one")
    arguments = parser.parse_args()
    lib.need_binary()
    report = lib.Report("kill -9")
    report.note(f"seed {arguments.seed}")
    dice, generator = random.Random(arguments.seed), numpy.random.default_rng(arguments.seed)
    with lib.scratch() as folder:
        quiet_seconds = 1.0
        with report.guard("killing the server"):
            quiet_seconds = kill_server(report, arguments, folder, dice, generator)
        with report.guard("killing the import"):
            kill_import(report, arguments, folder, dice, generator, quiet_seconds)
    report.end()


if __name__ == "__main__":
    main()
