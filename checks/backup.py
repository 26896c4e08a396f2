"""Backups of a server under load, restores from them, and kill -9 in the middle.

`backup.py [--kills N] [--rows R] [--seed S]`. While an import runs, backups go to one directory, and
the server dies in the middle of some. After each the directory has to verify and to restore, with
everything that was acknowledged before the last backup that was completed, and nothing that came
after it. At the end what is restored is held to the original, also as DuckDB reads the backup.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import threading
import time

import numpy
import pandas
import pyarrow
import pyarrow.csv

import doors
import lib

TAGS = 200
START = 1_420_070_400_000  # 2015-01-01T00:00:00Z in milliseconds
NUMBERS = re.compile(r"(\w+)=(\d+)")


class Numbers(threading.Thread):
    """Writes 0, 1, 2, ... one after the other, each at a second of its own."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.ended = server, threading.Event()
        self.attempted, self.acknowledged = 0, 0

    def run(self):
        while not self.ended.is_set():
            number = self.attempted
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START // 1000 + number))
            self.attempted = number + 1
            # The same one again until it is acknowledged: then there are no gaps.
            while self.server.run("write", "numbers", number, "--time", moment).returncode != 0:
                if self.ended.is_set():
                    return
                time.sleep(0.05)
            self.acknowledged = number + 1


def load(path, rows, generator):
    """A CSV of `rows` rows in scan order, and what it holds."""
    second = numpy.repeat(numpy.arange(rows // TAGS), TAGS)
    tag = numpy.tile(numpy.arange(TAGS), rows // TAGS)
    # All digits of them: there is to be something to copy.
    value = generator.normal(100, 20, len(tag))
    names = pyarrow.array([f"load.{i:03}" for i in range(TAGS)])
    milliseconds = START + second * 1000
    columns = {
        "tag": names.take(pyarrow.array(tag)),
        "timestamp": pyarrow.array(milliseconds).cast(pyarrow.timestamp("ms", "UTC")),
        "value": pyarrow.array(value),
    }
    pyarrow.csv.write_csv(pyarrow.table(columns), path)
    return pandas.DataFrame({"tag": tag, "time": milliseconds * 10**6, "value": value})


def start(server, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TAGUS_")} | {"TAGUS_URL": server.url}
    command = [str(lib.BINARY), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(output):
    """The numbers of a summary line."""
    return {name: int(number) for name, number in NUMBERS.findall(output)}


def verified(report, what, folder):
    done = lib.tagus("verify", "--data", folder)
    return report.check(f"{what}: verify finds no damage", done.returncode == 0, done.stdout[-500:] + done.stderr[-300:])


def restored(backup, folder):
    """Restores; gives the exit status and what was said."""
    shutil.rmtree(folder, ignore_errors=True)
    return lib.tagus("restore", "--from", backup, "--data", folder)


def hold(report, what, backup, folder, contents, least, most):
    """Restores, and holds the copy to what was written: all of the first `least` numbers, none from
    `most` on, and of the load nothing but its own values."""
    done = restored(backup, folder)
    if not report.check(f"{what}: restores", done.returncode == 0, done.stderr):
        return
    verified(report, f"{what}, restored", folder)
    with lib.Server(folder) as copy:
        found = doors.adbc(copy, "SELECT value FROM samples WHERE tag = 'numbers' ORDER BY time")["value"].astype(int)
        report.check(
            f"{what}: {len(found)} numbers without a gap, between {least} and {most}",
            found.tolist() == list(range(len(found))) and least <= len(found) <= most, found.tolist()[-5:],
        )
        rows = doors.adbc(copy, "SELECT tag, time, value FROM samples WHERE tag LIKE 'load.%'")
        rows["tag"] = rows["tag"].str.slice(5).astype(int)
        joined = rows.merge(contents, on=["tag", "time"], how="left", suffixes=("", "_written"))
        same = len(joined) == len(rows) and bool((joined["value"] == joined["value_written"]).all())
        report.check(f"{what}: {len(rows)} samples of the import, each as it was written", same)
        report.equal(f"{what}: the copy stops", copy.stop(), 0)


def under_load(report, arguments, folder, dice, generator, server):
    """Backups and kills while an import runs; gives the contents of the import."""
    backup, copy = folder / "backup", folder / "copy"
    contents = load(folder / "load.csv", arguments.rows, generator)
    numbers = Numbers(server)
    numbers.start()
    process = start(server, "import", folder / "load.csv")
    least, most, kills, duration, complete = 0, 0, 0, 0.5, False
    while kills < arguments.kills:
        time.sleep(dice.uniform(0.2, 1.0))
        before, began = numbers.acknowledged, time.monotonic()
        running = start(server, "backup", "--to", backup)
        killed = complete and dice.random() < 0.7
        if killed:
            time.sleep(dice.uniform(0, 1.1 * duration))
            server.kill()
        out, err = running.communicate(timeout=600)
        done = running.returncode == 0
        if not killed:
            report.check("a backup under load ends well", done, err)
        if done:
            said = told(out)
            least, most, complete, duration = before, numbers.attempted, True, time.monotonic() - began
            report.note(f"copied {said['copied_bytes']} of {said['bytes']} bytes in {duration:.2f} s")
        elif killed:
            # It may have been complete when the answer was cut off.
            most = numbers.attempted
        if killed:
            kills += 1
            report.note(f"kill {kills}: the backup {'had ended' if done else 'was cut off'}")
            verified(report, f"kill {kills}", backup)
            hold(report, f"kill {kills}", backup, copy, contents, least, most)
            server.start()
    out, err = process.communicate(timeout=1200)
    report.check("the import ends", process.returncode == 0, err[-500:])
    report.equal("the import stored every row once", (lib.accounting(out) or {}).get("rejected"), 0)
    numbers.ended.set()
    numbers.join(120)
    return contents


def quiet(report, folder, server):
    """Backups while nothing is written: what they copy, and that a copy is the original."""
    backup, copy = folder / "backup", folder / "copy"
    server.must("backup", "--to", backup)
    again = told(server.must("backup", "--to", backup))
    report.equal("a backup of what is there copies nothing", (again["copied_segments"], again["copied_bytes"]), (0, 0))
    server.must("write", "more", 1)
    little = told(server.must("backup", "--to", backup))
    report.equal("one more sample is one more segment", (little["copied_segments"], little["segments"] - again["segments"]), (1, 1))
    report.check("and little to copy", little["copied_bytes"] < 20_000, little)
    server.must("delete", "--tags", "load.00*", "--from", "2015-01-01", "--to", "2015-01-01T00:10:00Z")
    server.must("backup", "--to", backup)
    verified(report, "at rest", backup)
    report.check("at rest: restores", restored(backup, copy).returncode == 0)
    expected = doors.adbc(server, doors.SUMMARY)
    with lib.Server(copy) as other:
        report.check("the copy has what the original has", doors.adbc(other, doors.SUMMARY).equals(expected))
        current = "SELECT * FROM current_values ORDER BY tag"
        report.check("also as current values", doors.adbc(other, current).equals(doors.adbc(server, current)))
        other.stop()
    files = doors.Files(backup)("SELECT tag, count(*) AS n, sum(value) AS total FROM samples GROUP BY tag ORDER BY tag")
    same = files["n"].tolist() == expected["n"].tolist() and numpy.allclose(files["total"], expected["total"], rtol=1e-12)
    report.check("DuckDB reads the same from the backup", same, files.head())


def lines(report, folder, server):
    """The copy takes the backup over, and the original is kept out."""
    backup, copy = folder / "backup", folder / "copy"
    with lib.Server(copy) as other:
        other.must("write", "other", 2)
        other.must("compact")
        said = told(other.must("backup", "--to", backup))
        report.note(f"the copy's first backup copied {said['copied_bytes']} of {said['bytes']} bytes")
        wrong = lib.one_line_error(server.run("backup", "--to", backup), "line of this archive", "another directory")
        report.check("the original is refused there", not wrong, wrong)
        expected = doors.adbc(other, doors.SUMMARY)
        other.stop()
    verified(report, "the copy's backup", backup)
    (folder / "second").mkdir()
    with lib.Server(folder / "second/data") as another:
        wrong = lib.one_line_error(another.run("backup", "--to", backup), "another archive")
        report.check("another archive is refused there", not wrong, wrong)
        for place in (another.data, another.data / "backup", another.data.parent):
            wrong = lib.one_line_error(another.run("backup", "--to", place), str(another.data))
            report.check(f"a backup to {place.name} is refused", not wrong, wrong)
        another.stop()
    report.check("the copy's backup restores", restored(backup, folder / "third").returncode == 0)
    with lib.Server(folder / "third") as third:
        report.check("a copy of the copy has what that had", doors.adbc(third, doors.SUMMARY).equals(expected))
        third.stop()
    wrong = lib.one_line_error(lib.tagus("restore", "--from", backup, "--data", folder / "third"), "not empty")
    report.check("a restore to a directory that is not empty is refused", not wrong, wrong)


def damage(report, folder, dice):
    """A flipped byte is found, named, and not restored."""
    backup, broken, target = folder / "backup", folder / "broken", folder / "fourth"
    for kind in ("segments", "manifest", "FORMAT"):
        shutil.rmtree(broken, ignore_errors=True)
        shutil.copytree(backup, broken)
        files = sorted((broken / kind).iterdir()) if (broken / kind).is_dir() else [broken / kind]
        path = dice.choice(files)
        data = bytearray(path.read_bytes())
        at = dice.randrange(len(data))
        data[at] ^= 1 << dice.randrange(8)
        path.write_bytes(data)
        found = lib.tagus("verify", "--data", broken)
        report.check(f"byte {at} of {path.name}: verify names it", found.returncode == 1 and path.name in found.stdout, found.stdout)
        wrong = lib.one_line_error(restored(broken, target), path.name)
        report.check(f"byte {at} of {path.name}: restore names it", not wrong, wrong)
        left = [p for p in target.rglob("*") if p.is_file() and p.name != "LOCK"] if target.exists() else []
        report.equal(f"byte {at} of {path.name}: nothing is left", left, [])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=8, help="kills of the server during backups (8)")
    parser.add_argument("--rows", type=int, default=6_000_000, help="rows of the import (6,000,000)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9), help="else a random one")
    arguments = parser.parse_args()
    lib.need_binary()
    report = lib.Report("backup")
    report.note(f"seed {arguments.seed}")
    dice, generator = random.Random(arguments.seed), numpy.random.default_rng(arguments.seed)
    with lib.scratch() as folder:
        (folder / "first").mkdir()
        with lib.Server(folder / "first/data") as server:
            with report.guard("backups under load"):
                under_load(report, arguments, folder, dice, generator, server)
            with report.guard("backups at rest"):
                quiet(report, folder, server)
            with report.guard("lines"):
                lines(report, folder, server)
            report.equal("clean stop", server.stop(), 0)
        with report.guard("damage"):
            damage(report, folder, dice)
    report.end()


if __name__ == "__main__":
    main()
