"""What grows with the history, and what must not: 1, 10 and 100 times 3.65 days of 3,000 tags.

`growth.py [--steps N] [--period-s S]`. The third step is a year and 1.05 billion samples at one
sample in 90 s; it takes about half an hour and 6 GB of disk. At each step it prints files, bytes and
the time of a question about one tag and one day, and what that reads; at the end how long the
server takes to its first answer, after a clean stop and after a kill.
"""

import argparse
import datetime
import random
import re
import statistics
import subprocess
import time

import adbc_driver_flightsql.dbapi

import doors
import lib

TAGS = 3000
BASE_SECONDS = 315_360  # 3.65 days
BEGIN = int(datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone.utc).timestamp())
LOADER = lib.TARGET / "release/history"
QUESTION = "SELECT time, value, quality FROM samples WHERE tag = '{tag}' AND time >= '{start}' AND time < '{end}'"


def load(server, first, seconds, period):
    """Writes so many seconds of all tags; gives the counts and the wall time."""
    command = [LOADER, "--url", server.url, "--tags", TAGS, "--from", BEGIN + first, "--period-s", period, "--scans", seconds // period]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return lib.accounting(done.stdout), float(re.search(r"wall_s=([\d.]+)", done.stdout)[1])


def question(dice, last_day):
    """One tag and one whole day within the history."""
    start = datetime.datetime.fromtimestamp(BEGIN, datetime.timezone.utc) + datetime.timedelta(days=dice.randrange(last_day))
    end = start + datetime.timedelta(days=1)
    return QUESTION.format(tag=f"history.{dice.randrange(TAGS):06}", start=start.isoformat(), end=end.isoformat())


def ask(server, dice, last_day, rows):
    """Times of 60 questions in milliseconds, warm, as a client on an open connection sees them."""
    taken = []
    with adbc_driver_flightsql.dbapi.connect(f"grpc://127.0.0.1:{server.grpc}", autocommit=True) as connection:
        with connection.cursor() as cursor:
            for sql in [question(dice, last_day) for _ in range(60)]:
                for _ in range(3):
                    began = time.perf_counter()
                    cursor.execute(sql)
                    found = cursor.fetch_arrow_table().num_rows
                    last = (time.perf_counter() - began) * 1000
                if found != rows:
                    raise RuntimeError(f"{found} rows of {rows}: {sql}")
                taken.append(last)
    return statistics.median(taken), sorted(taken)[int(len(taken) * 0.99)]


def reads(server, sql):
    """Segments and pages that a question reads."""
    plan = server.must("sql", "--format", "csv", "EXPLAIN ANALYZE " + sql)
    return {name: sum(int(n) for n in re.findall(rf"\b{name}=(\d+)", plan)) for name in ("segments_read", "pages_read")}


def first_answer(server):
    """Seconds from the start of the process to its first answer."""
    began = time.monotonic()
    server.start()
    rows = int(doors.adbc(server, QUESTION.format(tag="history.000007", start="2025-01-02", end="2025-01-03"))["time"].size)
    return time.monotonic() - began, rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3, help="how many steps: 1, 10 and 100 times (3)")
    parser.add_argument("--period-s", type=int, default=90, help="seconds between two samples of a tag (90)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    lib.need_binary()
    if not LOADER.exists():
        raise SystemExit(f"{LOADER} is missing; build it with `cargo build --release -p tagus-benches`")
    report = lib.Report("growth")
    report.note(f"seed {arguments.seed}")
    medians, done, samples = [], 0, 0
    with lib.scratch() as folder, lib.Server(folder / "data") as server:
        for step in range(arguments.steps):
            seconds = BASE_SECONDS * 10**step
            counts, took = load(server, done, seconds - done, arguments.period_s)
            samples, done = samples + counts["stored"], seconds
            before = len(list((server.data / "segments").glob("*.parquet")))
            began = time.monotonic()
            server.must("compact", timeout=3600)
            merged = time.monotonic() - began
            files = [f.stat().st_size for f in (server.data / "segments").glob("*.parquet")]
            report.note(
                f"{10**step} x: {samples} samples, {before} files, {len(files)} once compacted, {sum(files) / samples:.3f} bytes a sample; "
                f"written in {took:.0f} s, compacted in {merged:.0f} s, server CPU {server.cpu_seconds():.0f} s so far"
            )
            dice, days = random.Random(arguments.seed), seconds // 86_400
            median, worst = ask(server, dice, days, 86_400 // arguments.period_s)
            medians.append(median)
            touched = reads(server, question(dice, days))
            report.note(f"{10**step} x: one tag, one day: median {median:.2f} ms, 99 % {worst:.2f} ms, {touched}")
            # One day of one tag lies in one run, on a page or two.
            report.check(f"{10**step} x: files in proportion to the answer", touched["segments_read"] <= 2 and touched["pages_read"] <= 4, touched)
            report.check(f"{10**step} x: few files", len(files) <= 40 and before <= 200, (before, len(files)))
        ratio = medians[-1] / medians[0]
        report.check("latency is flat: the median of the last step is at most 1.3 of the first", ratio <= 1.3, ratio)
        report.note(f"median of the last step over the first: {ratio:.2f}")
        report.equal("clean stop", server.stop(), 0)
        took, rows = first_answer(server)
        report.note(f"start to the first answer after a clean stop: {took:.2f} s")
        report.check("start-up under 2 s after a clean stop", took < 2, took)
        report.equal("the first answer is right", rows, 86_400 // arguments.period_s)
        server.kill()
        took, rows = first_answer(server)
        report.note(f"start to the first answer after a kill: {took:.2f} s")
        report.check("start-up under 2 s after a kill", took < 2, took)
        report.equal("the first answer after a kill is right", rows, 86_400 // arguments.period_s)
        server.stop()
    report.end()


if __name__ == "__main__":
    main()
