"""Hours of a large plant in little memory: 300,000 tags in 512 MiB, with merges and queries.

`soak.py [--minutes M] [--tags N] [--budget-mib B]`. Samples come as fast as they are taken; a client
asks all the time, another flushes and merges. Nothing may fail, and the resident anonymous memory of
the server, sampled twice a second, may be the budget and 160 MiB at most. Where control groups can
be made, the server also lives in one of 768 MiB, which would kill it.
"""

import argparse
import contextlib
import pathlib
import random
import re
import subprocess
import threading
import time

import doors
import lib

LOADER = lib.TARGET / "release/history"
# Version 2 of control groups, and version 1: where they are, and what their limits are called.
GROUPS = [("cgroup.controllers", "", "memory.max"), ("memory/cgroup.procs", "memory", "memory.limit_in_bytes")]
GROUP_BYTES = 768 << 20
ABOVE_MIB = 160
QUESTIONS = [
    "SELECT count(*), min(time), max(time) FROM samples",
    "SELECT tag, count(*) AS n, avg(value) FROM samples WHERE tag LIKE 'history.0000%' GROUP BY tag ORDER BY n DESC LIMIT 5",
    "SELECT * FROM samples WHERE tag = 'history.0{tag:05}' ORDER BY time DESC LIMIT 1000",
    "SELECT count(*) FROM current_values",
    "SELECT type, count(*) FROM tags GROUP BY type",
]


class Memory(threading.Thread):
    """Samples the resident memory of a process."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.path = pathlib.Path(f"/proc/{process.pid}/status")
        self.ended, self.most, self.most_all, self.when = threading.Event(), 0, 0, 0.0

    def run(self):
        began = time.monotonic()
        while not self.ended.wait(0.5):
            try:
                status = self.path.read_text()
            except OSError:
                return
            if "RssAnon" not in status:
                # The process has ended, as one does that its control group kills.
                return
            anonymous, whole = (int(re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)[1]) / 1024 for name in ("RssAnon", "VmRSS"))
            if anonymous > self.most:
                self.most, self.when = anonymous, time.monotonic() - began
            self.most_all = max(self.most_all, whole)


class Asker(threading.Thread):
    """Asks one thing after the other; what fails is kept."""

    def __init__(self, server, dice):
        super().__init__(daemon=True)
        self.server, self.dice, self.ended = server, dice, threading.Event()
        self.answered, self.failed, self.slowest = 0, [], 0.0

    def run(self):
        while not self.ended.wait(0.2):
            sql = self.dice.choice(QUESTIONS).replace("{tag:05}", f"{self.dice.randrange(100_000):05}")
            began = time.monotonic()
            try:
                doors.adbc(self.server, sql)
                self.answered += 1
            except Exception as error:  # noqa: BLE001: whatever it is, it is a failed question
                self.failed.append(f"{sql}: {error}")
            self.slowest = max(self.slowest, time.monotonic() - began)


class Keeper(threading.Thread):
    """Flushes and merges now and then."""

    def __init__(self, server, dice):
        super().__init__(daemon=True)
        self.server, self.dice, self.ended, self.failed = server, dice, threading.Event(), []

    def run(self):
        while not self.ended.wait(self.dice.uniform(20, 60)):
            done = self.server.run(self.dice.choice(["flush", "compact"]), timeout=1200)
            if done.returncode != 0:
                self.failed.append(done.stderr)


@contextlib.contextmanager
def confined(process):
    """Puts a process into a control group of its own; gives whether that could be done."""
    root = pathlib.Path("/sys/fs/cgroup")
    folder, limit = next(((root / where, limit) for mark, where, limit in GROUPS if (root / mark).exists()), (root, ""))
    group = folder / f"tagus-soak-{process.pid}"
    try:
        if not limit:
            raise OSError("there are no control groups")
        group.mkdir()
        (group / limit).write_text(str(GROUP_BYTES))
        (group / "cgroup.procs").write_text(str(process.pid))
        done = (group / limit).read_text().strip() == str(GROUP_BYTES)
    except OSError:
        done = False
    try:
        yield done
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20, help="how long (20)")
    parser.add_argument("--tags", type=int, default=300_000, help="how many tags (300,000)")
    parser.add_argument("--budget-mib", type=int, default=512, help="memory_budget of the server (512)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    lib.need_binary()
    if not LOADER.exists():
        raise SystemExit(f"{LOADER} is missing; build it with `cargo build --release -p tagus-benches`")
    report = lib.Report("soak")
    report.note(f"seed {arguments.seed}")
    with lib.scratch() as folder:
        config = folder / "little-memory.toml"
        config.write_text(f'memory_budget = "{arguments.budget_mib}MiB"\n')
        with lib.Server(folder / "data", config) as server:
            with confined(server.process) as is_confined:
                limit = f"in a control group of {GROUP_BYTES >> 20} MiB"
                report.note(limit if is_confined else "no control group can be made here: memory is sampled only")
                run(report, arguments, server)
                report.equal("clean stop", server.stop(), 0)
        verified = lib.tagus("verify", "--data", folder / "data", timeout=3600)
        report.check("tagus verify finds no damage", verified.returncode == 0, verified.stdout + verified.stderr)
    report.end()


def run(report, arguments, server):
    dice = random.Random(arguments.seed)
    memory = Memory(server.process)
    helpers = [Asker(server, random.Random(dice.random())), Keeper(server, random.Random(dice.random()))]
    for thread in [memory, *helpers]:
        thread.start()
    begin = int(time.time()) - 20 * 86_400
    command = [LOADER, "--url", server.url, "--tags", arguments.tags, "--from", begin, "--period-s", 1, "--for-s", int(arguments.minutes * 60)]
    loaded = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    for thread in [*helpers, memory]:
        thread.ended.set()
        thread.join(1200)
    asker, keeper = helpers
    report.check("all samples were taken", loaded.returncode == 0, loaded.stderr)
    counts = lib.accounting(loaded.stdout) or {}
    report.note(loaded.stdout.strip())
    report.check("no question failed", not asker.failed, asker.failed[:3])
    report.check("questions were answered", asker.answered > arguments.minutes * 10, asker.answered)
    report.check("no flush and no merge failed", not keeper.failed, keeper.failed[:3])
    report.note(f"{asker.answered} questions, the slowest {asker.slowest:.1f} s; server CPU {server.cpu_seconds():.0f} s")
    rows = int(doors.adbc(server, "SELECT count(*) AS n FROM samples")["n"][0])
    report.equal("every sample is there", rows, counts.get("stored"))
    files = list((server.data / "segments").glob("*.parquet"))
    report.note(f"{len(files)} files, {sum(f.stat().st_size for f in files) / max(1, rows):.3f} bytes a sample")
    most = arguments.budget_mib + ABOVE_MIB
    report.note(f"resident at most {memory.most:.0f} MiB anonymous (after {memory.when:.0f} s), {memory.most_all:.0f} MiB in all")
    report.check(f"resident anonymous memory at most {most} MiB", 0 < memory.most <= most, memory.most)


if __name__ == "__main__":
    main()
