"""Ingest of the synthetic plant W1 in scan order: Tagus beside VictoriaMetrics, in turn.

`checks/run ../benches/compare/ingest [--scans N] [--rounds N] [--profile]` after
`cargo build --release --workspace`; VictoriaMetrics is Debian's package victoria-metrics and is
left out where it is not installed. Server CPU seconds are user and system time of the process,
until all is acknowledged, and again after all that follows (flush; force_flush and force_merge).
"""

import argparse
import http.client
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

import numpy
import pyarrow.parquet

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "checks"))
import lib  # noqa: E402: the path is set just above
import plant  # noqa: E402

TAGS, SECONDS = 3000, 3600
LOADER = lib.TARGET / "release/w1"


def in_scan_order(folder, scans):
    """Tag number, time in ns and value of the first scans, in scan order."""
    table = pyarrow.parquet.read_table(folder / "samples.parquet", columns=["time", "value"])
    times = table["time"].cast("int64").to_numpy().reshape(TAGS, SECONDS)[:, :scans]
    values = table["value"].to_numpy().reshape(TAGS, SECONDS)[:, :scans]
    return numpy.tile(numpy.arange(TAGS), scans), times.T.ravel(), values.T.ravel()


class Tagus:
    """The server under test, driven by the bench's own loader."""

    title = "Tagus, gRPC, durable"

    def __init__(self, folder, scans, profile):
        self.plant, self.scans, self.profile = folder, scans, profile

    def run(self, folder):
        server = lib.Server(folder / "data")
        with server:
            before = server.cpu_seconds()
            profiler = self.start_profiler(server)
            out = subprocess.run(
                [LOADER, server.url, self.plant, str(self.scans)], check=True, capture_output=True, text=True
            ).stdout
            acknowledged = server.cpu_seconds() - before
            counts = lib.accounting(out)
            if counts["stored"] != counts["rows"]:
                raise RuntimeError(f"not all was stored: {out}")
            wall = float(re.search(r"wall_s=([\d.]+)", out)[1])
            began = time.monotonic()
            server.must("flush")
            flushed = server.cpu_seconds() - before
            wall_flushed = wall + time.monotonic() - began
            if profiler:
                profiler.send_signal(2)
                profiler.wait()
            size = sum(f.stat().st_size for f in (server.data / "segments").glob("*.parquet"))
            server.stop()
        return counts["rows"], acknowledged, flushed, wall, wall_flushed, size

    def start_profiler(self, server):
        if not self.profile:
            return None
        command = ["perf", "record", "-q", "-F", "499", "-g", "-o", str(self.profile), "-p", str(server.process.pid)]
        return subprocess.Popen(command)


class VictoriaMetrics:
    """VictoriaMetrics, line protocol over HTTP; `grouped` puts all fields of one time into a line."""

    def __init__(self, folder, scans, grouped):
        self.title = f"VictoriaMetrics, a line a {'time' if grouped else 'sample'}, not durable"
        self.bodies = list(self.make_bodies(folder, scans, grouped))
        self.rows = scans * TAGS

    @staticmethod
    def make_bodies(folder, scans, grouped):
        names = plant.names(folder)
        tag, times, values = in_scan_order(folder, scans)
        step = 10 * TAGS
        for start in range(0, len(tag), step):
            part = slice(start, start + step)
            rows = zip(tag[part].tolist(), times[part].tolist(), values[part].tolist())
            if not grouped:
                yield "".join(f"{names[t]} value={v!r} {ns}\n" for t, ns, v in rows).encode()
                continue
            lines = {}
            for t, ns, v in rows:
                lines.setdefault(ns, []).append(f"{names[t]}={v!r}")
            yield "".join(f"w1 {','.join(fields)} {ns}\n" for ns, fields in lines.items()).encode()

    def run(self, folder):
        port = lib.free_ports(1)[0]
        command = [
            "victoria-metrics", f"-storageDataPath={folder}/vm", f"-httpListenAddr=127.0.0.1:{port}",
            "-retentionPeriod=100y", "-influxSkipSingleField", "-loggerLevel=ERROR", "-influx.maxLineSize=1048576",
        ]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                return self.measure(process, port, folder)
            finally:
                process.terminate()

    def measure(self, process, port, folder):
        self.wait_until_up(port)
        server = lib.Server(folder / "unused")
        server.process = process
        before, began = server.cpu_seconds(), time.monotonic()
        senders = [threading.Thread(target=self.send, args=(port, self.bodies[i::2])) for i in range(2)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        acknowledged, wall = server.cpu_seconds() - before, time.monotonic() - began
        for path in ("/internal/force_flush", "/internal/force_merge"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60).read()
        idle = self.idle_since(server)
        size = sum(f.stat().st_size for f in (folder / "vm/data").rglob("*") if f.is_file())
        return self.rows, acknowledged, server.cpu_seconds() - before, wall, idle - began, size

    @staticmethod
    def send(port, bodies):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for body in bodies:
            connection.request("POST", "/write", body)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 204:
                raise RuntimeError(f"VictoriaMetrics answered {answer.status}")

    @staticmethod
    def wait_until_up(port):
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).read()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("VictoriaMetrics does not start")

    @staticmethod
    def idle_since(server):
        """The merge runs in the background: it is over when no CPU time is spent for a second."""
        last, since = server.cpu_seconds(), time.monotonic()
        while time.monotonic() - since < 1:
            time.sleep(0.05)
            now = server.cpu_seconds()
            if now - last >= 0.02:
                last, since = now, time.monotonic()
        return since


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=1200, help="scans of 3000 samples, at most 3600 (1200)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, in turn (3)")
    parser.add_argument("--alone", action="store_true", help="Tagus only")
    parser.add_argument("--profile", metavar="FILE", help="record the Tagus server with perf into this file")
    arguments = parser.parse_args()
    lib.need_binary()
    scans = min(arguments.scans, SECONDS)
    folder = plant.folder(TAGS, SECONDS)
    rivals = [Tagus(folder, scans, arguments.profile)]
    if not arguments.alone and shutil.which("victoria-metrics"):
        rivals += [VictoriaMetrics(folder, scans, grouped) for grouped in (False, True)]
    results = {rival.title: [] for rival in rivals}
    for number in range(arguments.rounds):
        for rival in rivals:
            with lib.scratch("tagus-bench-") as scratch:
                results[rival.title].append(rival.run(scratch))
            print(f"round {number + 1}: {rival.title}: {results[rival.title][-1]}", flush=True)
    show(results)


def show(results):
    """Medians, one line a rival."""
    print(f"\n{scale_note()}")
    print("| | M samples a CPU second, acknowledged | flushed or merged too | M samples/s wall | with flush or merge | bytes a sample |")
    print("| --- | --- | --- | --- | --- | --- |")
    for title, runs in results.items():
        rates = [[rows / seconds / 1e6 for seconds in times] + [size / rows] for rows, *times, size in runs]
        middle = [statistics.median(column) for column in zip(*rates)]
        print(f"| {title} | " + " | ".join(f"{number:.2f}" for number in middle) + " |")


def scale_note():
    return f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}; medians"


if __name__ == "__main__":
    main()
