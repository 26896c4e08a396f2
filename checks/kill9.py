"""kill -9 of the server during imports: nothing acknowledged is lost, nothing is stored twice.

`kill9.py [--kills N] [--rows R] [--seed S]`. The import keeps running while the server dies and
comes back, also while it is still starting; it has to end with the totals of an uninterrupted one.
The server has little memory, and an operator flushes, merges and asks all the time, so that it dies
in the middle of those, too. A small writer beside it notes what was acknowledged, samples and
deletes; after each restart all of that has to be so. A second part kills the import itself and
starts it again.
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
# Imports lie this far apart: beyond days of each other, and a few thousand of them before today.
APART_S = 100_000


class Load:
    """A CSV in scan order with copies further down: equal ones and ones with another value."""

    def __init__(self, path, rows, number, generator, copies=0.02):
        seconds = max(1, rows // TAGS)
        assert seconds < APART_S, f"{rows} rows are too many for one import"
        rows = seconds * TAGS
        second = numpy.repeat(numpy.arange(seconds), TAGS) + number * APART_S
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

    def __init__(self, server, dice):
        super().__init__(daemon=True)
        self.server, self.dice, self.ended = server, dice, threading.Event()
        self.attempted, self.acknowledged = 0, set()
        # Numbers whose delete was acknowledged, and those whose delete was asked for.
        self.deleted, self.doubtful = set(), set()

    def run(self):
        while not self.ended.is_set():
            number = self.attempted
            self.attempted += 1
            if self.server.run("write", "small.writer", number, "--time", moment(number)).returncode == 0:
                self.acknowledged.add(number)
            if number % 9 == 8:
                self.delete(self.dice.randrange(number))
            time.sleep(0.01)

    def delete(self, first):
        """Deletes up to three samples that were written before; none of them is written again."""
        numbers = range(first, min(first + self.dice.randint(1, 3), self.attempted))
        self.doubtful.update(numbers)
        options = ["--tags", "small.*", "--from", moment(numbers[0]), "--to", moment(numbers[-1] + 1)]
        if self.server.run("delete", *options).returncode == 0:
            self.deleted.update(numbers)

    def missing(self):
        """What is wrong with the samples that are there; empty if nothing is."""
        # What is deleted is noted last: between two looks only more may be gone.
        acknowledged, deleted = set(self.acknowledged), set(self.deleted)
        sql = "SELECT time, value FROM samples WHERE tag = 'small.writer' ORDER BY time"
        found = doors.adbc(self.server, sql)
        numbers = ((found["time"] // 10**9) - START // 1000).tolist()
        if len(set(numbers)) != len(numbers):
            return "a sample is there twice"
        if numbers != [int(v) for v in found["value"]]:
            return "a sample has another value than was written"
        if not set(numbers) <= set(range(self.attempted)):
            return "a sample is there that nobody wrote"
        if deleted & set(numbers):
            return f"{len(deleted & set(numbers))} of {len(deleted)} deleted samples are there"
        lost = sorted(acknowledged - set(numbers) - self.doubtful)
        return f"{len(lost)} of {len(acknowledged)} acknowledged samples are lost, first {lost[:5]}" if lost else ""


def moment(number):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START // 1000 + number))


class Operator(threading.Thread):
    """Flushes, merges and asks all the time; whether it is answered does not matter."""

    COMMANDS = [
        ("flush",), ("flush",), ("compact",), ("tags", "list"), ("sql", "SELECT * FROM current_values"),
        ("sql", "SELECT tag, count(*), avg(value) FROM samples GROUP BY tag"),
    ]

    def __init__(self, server, dice):
        super().__init__(daemon=True)
        self.server, self.dice, self.ended, self.answered = server, dice, threading.Event(), 0

    def run(self):
        while not self.ended.wait(self.dice.uniform(0, 0.5)):
            self.answered += self.server.run(*self.dice.choice(self.COMMANDS)).returncode == 0


def start_import(server, load):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TAGUS_")} | {"TAGUS_URL": server.url}
    rejects = load.path.with_suffix(".rejects.csv")
    rejects.unlink(missing_ok=True)
    command = [str(lib.BINARY), "import", str(load.path), "--rejects", str(rejects)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(report, what, process, load, server=None):
    """Waits for an import and holds its accounting to what it has to be."""
    try:
        out, err = process.communicate(timeout=600)
    except subprocess.TimeoutExpired:
        process.kill()
        report.check(f"{what} ends", False, "it still runs after 600 s")
        return
    if server is not None and not out and err.startswith("error: connecting to "):
        # It found no server when it began, and says so at once: an operator begins it again.
        finish(report, what, start_import(server, load), load)
        return
    ok = report.check(f"{what}: exit status 0", process.returncode == 0, err[-500:])
    if ok:
        report.equal(f"{what}: accounting line", lib.accounting(out), load.counts)
        rejects = pandas.read_csv(load.path.with_suffix(".rejects.csv"))
        lines, reasons = rejects["line"].nunique(), rejects["reason"].str.contains("no whole number").sum()
        wanted = (load.counts["rejected"],) * 3
        report.equal(f"{what}: each rejected row once in --rejects, with its reason", (len(rejects), lines, reasons), wanted)


def compare(report, what, server, load):
    """Every sample of a load, once and with its last value."""
    with report.guard(what):
        expected = load.contents.sort_values(["tag", "time"], ignore_index=True)
        first, last = (pandas.Timestamp(t, unit="ns").isoformat() for t in (expected.time.min(), expected.time.max()))
        where = f"tag LIKE 'kill.%' AND time >= '{first}Z' AND time <= '{last}Z'"
        found = doors.adbc(server, f"SELECT tag, time, value FROM samples WHERE {where}")
        found["tag"] = found["tag"].str.slice(5).astype(int)
        found = found.sort_values(["tag", "time"], ignore_index=True)
        report.equal(f"{what}: number of samples", len(found), len(expected))
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
    config = folder / "little-memory.toml"
    config.write_text('memory_budget = "96MiB"\n')
    samples, number, kills, checks_failed = 0, 0, 0, []
    with lib.Server(folder / "data", config) as server:
        server.must("tags", "create", WHOLE, "--type", "int64")
        writer, operator = SmallWriter(server, random.Random(dice.random())), Operator(server, random.Random(dice.random()))
        writer.start()
        operator.start()
        while kills < arguments.kills:
            load = Load(folder / "load.csv", arguments.rows, number, generator)
            process, kills_before = start_import(server, load), kills
            while kills < arguments.kills and process.poll() is None:
                time.sleep(dice.uniform(0.02, max(0.4, quiet_seconds * 0.6)))
                if process.poll() is not None:
                    break
                server.kill()
                kills += 1 + kill_while_starting(server, dice)
                time.sleep(dice.choice([0, 0, 0.1, 0.3]))
                server.start()
                trouble = writer.missing()
                if trouble:
                    checks_failed.append(f"kill {kills}: {trouble}")
            number, samples = number + 1, samples + len(load.contents)
            finish(report, f"import {number}, {kills - kills_before} kills", process, load, server)
            compare(report, f"import {number}", server, load)
        for thread in (writer, operator):
            thread.ended.set()
            thread.join(120)
        report.check(f"{kills} kills during imports", kills >= arguments.kills, kills)
        report.check("after each: everything acknowledged is there, once", not checks_failed, checks_failed)
        report.check("the small writer got acknowledgements", len(writer.acknowledged) > kills, len(writer.acknowledged))
        report.check("and so did its deletes", len(writer.deleted) > kills / 20, len(writer.deleted))
        report.note(f"small writer: {len(writer.acknowledged)} of {writer.attempted} acknowledged, {len(writer.deleted)} deleted")
        report.note(f"the operator was answered {operator.answered} times")
        trouble = writer.missing()
        report.check("at the end: everything acknowledged is there, once", not trouble, trouble)
        sql = "SELECT count(*) AS n FROM samples WHERE tag LIKE 'kill.%'"
        report.equal("after all kills: number of samples", int(doors.adbc(server, sql)["n"][0]), samples)
        server.must("compact", timeout=3600)
        report.equal("clean stop", server.stop(), 0)
    verified = lib.tagus("verify", "--data", folder / "data")
    report.check("tagus verify finds no damage", verified.returncode == 0, verified.stdout + verified.stderr)
    check_files(report, folder / "data", samples)
    return quiet_seconds


def kill_while_starting(server, dice):
    """Now and then the next process dies before it serves; gives how many did."""
    kills = 0
    while dice.random() < 0.2:
        server.launch()
        time.sleep(dice.uniform(0, 0.3))
        server.kill()
        kills += 1
    return kills


def check_files(report, data, samples):
    """Once all is merged, every sample has one row."""
    with report.guard("DuckDB after the stop"):
        ids = f"SELECT tag_id FROM '{data}/tags.parquet' WHERE tag LIKE 'kill.%'"
        rows = doors.duck().sql(f"SELECT count(*) AS n FROM '{data}/segments/*.parquet' WHERE tag_id IN ({ids})").to_df()["n"][0]
        report.equal("DuckDB after the stop: rows of merged segments", int(rows), samples)


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
        compare(report, "after the restarts", server, load)
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="kills of the server (30)")
    parser.add_argument("--import-kills", type=int, default=5, help="kills of the import (5)")
    parser.add_argument("--rows", type=int, default=300_000, help="rows of one import (300,000)")
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
