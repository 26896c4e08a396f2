"""Disks that are read-only, small or full. Needs root for a tmpfs of its own; skipped elsewhere."""

import contextlib
import os
import subprocess
import time

import numpy
import pyarrow
import pyarrow.csv

import lib

DISK_BYTES = 48 << 20


@contextlib.contextmanager
def disk(folder, size):
    """A tmpfs of this size."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False, capture_output=True)


def can_mount(folder):
    try:
        with disk(folder, 1 << 20):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def check_disks(report, folder, serve_refused):
    """All disks; `serve_refused` checks a server that has to end at once."""
    if not can_mount(folder / "probe"):
        report.skip("a read-only disk, a small disk, a full disk", "mounting a tmpfs is not allowed here")
        return
    with report.guard("a read-only disk"), disk(folder / "read-only", DISK_BYTES) as mount:
        check_read_only(report, mount, serve_refused)
    with report.guard("a small disk"), disk(folder / "small", DISK_BYTES) as mount:
        check_small(report, mount, folder)


def check_read_only(report, mount, serve_refused):
    with lib.Server(mount / "data") as server:
        server.log = mount.parent / "read-only.log"
        server.must("write", "A", "1")
        server.stop()
    (mount / "data.log").unlink(missing_ok=True)
    subprocess.run(["mount", "-o", "remount,ro", mount], check=True)
    serve_refused(report, "a data directory on a read-only disk", mount / "data", "read-only")
    serve_refused(report, "a new directory on a read-only disk", mount / "new", "read-only", unchanged=False)


def fill(path):
    """Takes all space that is left."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def rows_csv(path, rows, start, decimals):
    """Distinct rows of 100 tags; with many decimals they do not compress."""
    values = numpy.round(numpy.random.default_rng(start).random(rows), decimals)
    seconds = numpy.arange(rows) // 100 + start
    names = pyarrow.array([f"small.{i}" for i in range(100)])
    columns = {
        "tag": names.take(pyarrow.array(numpy.arange(rows) % 100)),
        "timestamp": pyarrow.array(seconds).cast(pyarrow.timestamp("s", "UTC")),
        "value": pyarrow.array(values),
    }
    pyarrow.csv.write_csv(pyarrow.table(columns), path)


def count(server):
    return int(server.must("sql", "--format", "csv", "SELECT count(*) AS n FROM samples").split()[1])


def check_small(report, mount, folder):
    """48 MB: it starts and works; full: it refuses, reads on, and resumes when space returns."""
    server = lib.Server(mount / "data")
    server.log = folder / "small.log"
    first, second = folder / "first.csv", folder / "second.csv"
    rows_csv(first, 3_000_000, 1_504_067_200, decimals=1)
    rows_csv(second, 6_000_000, 1_614_067_200, decimals=17)
    with server:
        done = server.run("import", first)
        report.check("48 MB of disk: an import of 3,000,000 rows", done.returncode == 0, done.stderr)
        acknowledged = count(server)
        server.must("flush")
        fill(mount / "ballast")
        acknowledged = check_full(report, server, second, acknowledged)
        os.unlink(mount / "ballast")
        began = time.monotonic()
        done = server.run("write", "small.free", "1", timeout=120)
        report.check("space returns: writing resumes by itself", done.returncode == 0, done.stderr)
        report.note(f"resumed after {time.monotonic() - began:.1f} s")
        report.equal("nothing that was there is lost", count(server), acknowledged + 1)
        report.equal("clean stop", server.stop(), 0)
        server.start()
        report.equal("after a restart: all is there", count(server), acknowledged + 1)
        server.stop()


def check_full(report, server, load, before):
    """Imports until nothing fits any more; gives the number of samples that are there then."""
    command = [str(lib.BINARY), "import", str(load), "--url", server.url]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    written = write_until_refused(report, server)
    out, err = running.communicate(timeout=300)
    trouble = lib.one_line_error(subprocess.CompletedProcess(command, running.returncode, out, err), "free some space")
    report.check("a full disk: an import ends with a clear error", not trouble, trouble)
    there, counts = count(server), lib.accounting(out) or {}
    report.check("a full disk: the server lives and reads go on", server.alive() and there >= before, there)
    said = before + written + counts.get("stored", 0)
    report.equal("a full disk: what was acknowledged is there", there, said)
    return there


def write_until_refused(report, server):
    """Small batches fit for a while where those of an import no longer do; gives the number of samples."""
    rows = 2000
    for number in range(1000):
        start = 1_504_067_200 + number * rows
        lines = "".join(f"small.full,{stamp(start + i)},{i}\n" for i in range(rows))
        done = server.run("write", "-", timeout=120, stdin=lines)
        if done.returncode != 0:
            trouble = lib.one_line_error(done, "free some space")
            report.check("a full disk: a write ends with a clear error", not trouble, trouble)
            return number * rows
    report.check("a full disk: a write ends with a clear error", False, "1000 writes were taken")
    return 1000 * rows


def stamp(second):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
