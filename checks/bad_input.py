"""Bad input: each ends in one clear line, with the right exit status, and changes nothing."""

import gzip
import os
import pathlib
import shutil
import socket
import subprocess

import doors
import lib
import small_disk
import wire

QUERY, INGEST = "/tagus.v1.Query/Sql", "/tagus.v1.Ingest/Write"
FLIGHT = "/arrow.flight.protocol.FlightService/"
GOOD_CSV = "tag,timestamp,value\nfine.A,2024-01-01T00:00:00Z,1\nfine.I,2024-01-01T00:00:00Z,2\n"


class Bench:
    """A server with two samples, and what has to be true after every attempt."""

    def __init__(self, report, server, folder):
        self.report, self.server, self.folder = report, server, folder
        server.must("tags", "create", "fine.I", "--type", "int64")
        server.must("write", "-", stdin=GOOD_CSV)
        self.before = self.state()

    def state(self):
        samples = self.server.must("sql", "--format", "csv", "SELECT * FROM samples ORDER BY tag, time")
        return samples, self.server.must("sql", "--format", "csv", "SELECT * FROM tags ORDER BY tag")

    def refused(self, what, *arguments, words=(), status=1, stdin=None):
        """A command that has to fail in one line and leave everything as it is."""
        trouble = lib.one_line_error(self.server.run(*arguments, stdin=stdin), *words, status=status)
        self.report.check(what, not trouble, trouble)
        self.unchanged(what)

    def refused_call(self, what, outcome, codes, words=()):
        """A call that has to fail with one of the codes."""
        code, details = outcome
        right = code in codes and "\n" not in details and "panick" not in details
        right = right and all(word in details for word in words)
        self.report.check(what, right, f"{code}: {details[:300]!r}, expected {codes} {words}")
        self.unchanged(what)

    def unchanged(self, what):
        ok = self.server.alive() and self.state() == self.before
        if not ok or "panicked" in self.server.log.read_text(errors="replace"):
            self.report.check(f"{what}: nothing changed", False, self.server.tail())


def check_sql(bench):
    """SQL that cannot be."""
    bench.refused("unknown table", "sql", "SELECT * FROM sampels", words=["sampels", "samples"])
    bench.refused("unknown column", "sql", "SELECT valeu FROM samples", words=["valeu", "value"])
    bench.refused("unknown function", "sql", "SELECT averag(value) FROM samples", words=["averag"])
    bench.refused("syntax", "sql", "SELEC 1")
    bench.refused("no statement", "sql", " ", status=None)
    bench.refused("two statements", "sql", "SELECT 1; SELECT 2")
    for statement in ("DELETE FROM samples", "INSERT INTO samples VALUES (1)", "DROP TABLE samples",
                      "CREATE TABLE x AS SELECT 1", "COPY (SELECT 1) TO '/tmp/tagus-check.csv'",
                      "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'", "SET x = 1"):
        bench.refused(f"not a query: {statement.split('(')[0][:30]}", "sql", statement)
    bench.refused("type", "sql", "SELECT * FROM samples WHERE time > 'yesterday'")
    # Long and deep statements come from files: arguments of a process are bounded by the system.
    texts = {
        "nesting": "SELECT " + "(" * 20_000 + "1" + ")" * 20_000,
        "nested NOT": "SELECT " + "NOT " * 100_000 + "true",
        "a long chain": "SELECT " + "1+" * 200_000 + "1",
        "a long statement": "SELECT '" + "x" * (20 << 20) + "'",
    }
    for what, text in texts.items():
        path = bench.folder / "long.sql"
        path.write_text(text)
        bench.refused(what, "sql", "-f", path)
    bench.refused("a missing file", "sql", "-f", bench.folder / "none.sql", words=["none.sql"])
    for what, sql, word in (("table", "SELECT * FROM sampels", "samples"), ("column", "SELECT valeu FROM samples", "value")):
        try:
            doors.adbc(bench.server, sql)
            bench.report.check(f"unknown {what} over Flight SQL", False, "it gave a result")
        except Exception as error:  # noqa: BLE001: drivers raise their own kinds
            bench.report.check(f"unknown {what} over Flight SQL", word in str(error) and "panicked" not in str(error), error)


def check_writes(bench):
    """Values, names and times that cannot be."""
    bench.refused("a fraction for an int64 tag", "write", "fine.I", "2.5", words=["2.5"])
    bench.refused("an int64 that overflows", "write", "fine.I", "9223372036854775808", words=["9223372036854775808"])
    bench.refused("a tag name too long", "write", "x" * 1025, "1", words=["1024", "1025"], status=None)
    bench.refused("a tag name with a control character", "write", "a\tb", "1", words=["control"], status=None)
    bench.refused("an empty tag name", "write", "", "1", status=None)
    for moment in ("1899-12-31T23:59:59Z", "2262-01-01T00:00:00Z", "9999-01-01T00:00:00Z"):
        bench.refused(f"time {moment}", "write", "fine.A", "1", "--time", moment, status=None)
    bench.refused("a time ahead of max_future", "write", "fine.A", "1", "--time", "2261-01-01T00:00:00Z", words=["future"])
    bench.refused("no time", "write", "fine.A", "1", "--time", "noon", status=None)
    bench.refused("no status", "write", "fine.A", "1", "--status", "Great", status=None)
    bench.refused("a rejected line on stdin", "write", "-", stdin="fine.I,2024-01-01T00:00:01Z,2.5\n", words=["2.5"])
    bench.refused("a text too long", "write", "-", stdin=f"fine.A,2024-01-01T00:00:01Z,{'x' * 40_000}\n", words=["40000"])
    bench.refused("a tag that differs in case alone", "tags", "create", "FINE.a", "--type", "float64", words=["fine.A"])
    bench.refused("an unknown type", "tags", "create", "new", "--type", "floot", status=None)
    bench.refused("an unknown tag", "tags", "show", "fine.B", words=["fine.B", "fine.A"])
    bench.refused("an unknown command", "serv", status=2)


def check_files(bench):
    """Files that cannot be imported; a broken one is not imported by half."""
    folder, write = bench.folder, lambda name, data: (bench.folder / name).write_bytes(data)
    rows = "".join(f"broken.{i % 50},2024-01-01T{i // 3600:02}:{i // 60 % 60:02}:{i % 60:02}Z,{i}\n" for i in range(80_000))
    packed = gzip.compress(("tag,timestamp,value\n" + rows).encode())
    write("cut.csv.gz", packed[: len(packed) * 2 // 3])
    write("flipped.csv.gz", packed[:-6] + bytes([packed[-6] ^ 1]) + packed[-5:])
    write("open-quote.csv", b'tag,timestamp,value\nq.A,2024-01-01T00:00:00Z,1\nq.A,"2024')
    write("columns.csv", b"tag,when,value\nfine.A,2024-01-01T00:00:00Z,1\n")
    write("empty.csv", b"")
    write("binary.csv", os.urandom(5000))
    write("no.csv.gz", b"tag,timestamp,value\n")
    write("no.parquet", b"PAR1" + os.urandom(500) + b"PAR1")
    write("short.parquet", b"PAR1")
    for name in ("cut.csv.gz", "flipped.csv.gz", "open-quote.csv", "columns.csv", "empty.csv", "binary.csv", "no.csv.gz",
                 "no.parquet", "short.parquet", "missing.csv"):
        bench.refused(f"import of {name}", "import", folder / name, words=[name])
    bench.refused("import of a folder", "import", folder)
    write("tags-bad.csv", b"tag,type,unit,description\nfine.New,floot,,\n")
    bench.refused("a tags file with an unknown type", "tags", "import", folder / "tags-bad.csv", words=["floot"])
    write("tags-half.csv", b"tag,type,unit,description\nfine.New,float64,,\nfine.A,text,,\n")
    bench.refused("a tags file that contradicts", "tags", "import", folder / "tags-half.csv", words=["fine.A"])


def check_wire(bench):
    """Messages that are too long, lie about their length, or are none."""
    server = bench.server
    before = memory_peak(server)
    refusals = ("OUT_OF_RANGE", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "CANCELLED", "INTERNAL", "UNAVAILABLE")
    huge = bytes(1 << 30)
    for what, method, streaming in (("query", QUERY, False), ("ingest", INGEST, True)):
        outcome = wire.call(server, method, huge, streaming=streaming)
        bench.refused_call(f"a message of 1 GiB to {what}", outcome, refusals)
    del huge
    for what, method in (("query", QUERY), ("ingest", INGEST)):
        for end in (True, False):
            answer = wire.lie_about_length(server, method, 1 << 30, 1000, end)
            refused = answer.get("grpc-status", "0") != "0" or "reset" in answer
            bench.report.check(f"a message to {what} that claims 1 GiB{' and ends' if end else ''}", refused, answer)
            said = answer.get("grpc-message", "")
            bench.report.check("  the size and the limit are named", "1073741824" in said and "limit" in said, said)
        answer = wire.lie_about_length(server, method, 1000, 10, True)
        refused = answer.get("grpc-status", "0") != "0" or "reset" in answer
        bench.report.check(f"a message to {what} that ends early", refused, answer)
    grown = memory_peak(server) - before
    bench.report.check("none of them took memory", grown < 200 << 20, f"the peak grew by {grown >> 20} MiB")
    bench.unchanged("messages of 1 GiB")
    garbage = bytes(range(256)) * 4
    bench.refused_call("malformed protobuf to query", wire.call(server, QUERY, garbage), ("INVALID_ARGUMENT", "INTERNAL"))
    bench.refused_call(
        "malformed protobuf to ingest", wire.call(server, INGEST, garbage, streaming=True), ("INVALID_ARGUMENT", "INTERNAL")
    )
    opened = wire.field(1, wire.field(1, b"check"))
    for what, batch in (
        ("without an opening", None),
        ("with a gap in the sequence", b"\x08\x05"),
        ("with fewer values than times", b"\x08\x01" + wire.field(2, wire.field(2, wire.field(2, b"fine.A") + wire.field(3, b"\0" * 16)) + wire.field(3, wire.field(1, b"\0" * 8)))),
    ):
        messages = [opened, wire.field(2, batch)] if batch else [wire.field(2, b"\x08\x01")]
        bench.refused_call(f"a batch {what}", wire.call(server, INGEST, *messages, streaming=True), ("INVALID_ARGUMENT", "FAILED_PRECONDITION"))


def check_flight(bench):
    """Arrow Flight messages that are none."""
    server, garbage = bench.server, bytes(range(200))
    codes = ("INVALID_ARGUMENT", "INTERNAL", "UNIMPLEMENTED", "NOT_FOUND")
    descriptor = b"\x08\x02" + wire.field(2, garbage)
    bench.refused_call("a Flight ticket of garbage", wire.call(server, FLIGHT + "DoGet", wire.field(1, garbage)), codes)
    bench.refused_call("a Flight command of garbage", wire.call(server, FLIGHT + "GetFlightInfo", descriptor), codes)
    data = wire.field(1, descriptor) + wire.field(2, garbage) + bytes([0xC2, 0x3E]) + wire.field(1, garbage)[1:]
    bench.refused_call("Arrow of garbage to DoPut", wire.call(server, FLIGHT + "DoPut", data, streaming=True), codes)
    bench.refused_call("Arrow of garbage to DoExchange", wire.call(server, FLIGHT + "DoExchange", data, streaming=True), codes)


def memory_peak(server):
    for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def listing(folder):
    return sorted((str(p.relative_to(folder)), p.read_bytes() if p.is_file() else None) for p in folder.rglob("*"))


def serve_refused(report, what, data, *words, options=(), status=1, unchanged=True):
    """A `tagus serve` that has to end at once, in one line, without a trace in the folder."""
    command = lib.Server(data).command()
    for option, value in zip(options[::2], options[1::2]):
        at = command.index(option) if option in command else len(command)
        command[at : at + 2] = [option, str(value)]
    before = listing(data) if unchanged and data.is_dir() else None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        report.check(what, False, "the server started")
        return
    # Lines of the log may come before the error; the error is the last line and the only one.
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    done.stderr = "\n".join(errors) if errors else done.stderr
    trouble = lib.one_line_error(done, *words, status=status)
    report.check(what, not trouble, trouble)
    if before is not None:
        report.check(f"{what}: nothing changed", listing(data) == before, set(p for p, _ in listing(data)))


def crc32c(data):
    """CRC-32/ISCSI, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def check_directories(report, folder):
    """Data directories that are none, or not for this server."""
    foreign = folder / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    serve_refused(report, "a directory that is not a data directory", foreign, "foreign")
    file = folder / "a-file"
    file.write_text("x")
    serve_refused(report, "a file in place of a directory", file, "a-file")
    data = folder / "archive"
    with lib.Server(data) as server:
        server.must("write", "A", "1")
        serve_refused(report, "a data directory in use", data, "in use", unchanged=False)
        report.check("its server goes on", "A" in server.must("sql", "--format", "csv", "SELECT tag FROM samples"))
        server.stop()
    mark = (data / "FORMAT").read_text()
    body = mark[: mark.rindex("crc32c ")]
    report.equal("the checksum of FORMAT is CRC-32/ISCSI", mark[len(body):], f"crc32c {crc32c(body.encode()):08x}\n")
    newer = "\n".join("version 99" if line.startswith("version ") else line for line in body.split("\n"))
    (data / "FORMAT").write_text(f"{newer}crc32c {crc32c(newer.encode()):08x}\n")
    serve_refused(report, "a data directory of a newer version", data, "newer", "99")
    (data / "FORMAT").write_text(newer + "crc32c 00000000\n")
    serve_refused(report, "a damaged FORMAT file", data, "FORMAT")
    (data / "FORMAT").write_text(mark)
    with lib.Server(data) as server:
        report.check("the archive is still whole", "A" in server.must("sql", "--format", "csv", "SELECT tag FROM samples"))
        server.stop()


def check_settings(report, folder):
    """Addresses and configurations that cannot be."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for option in ("--grpc-addr", "--http-addr"):
            address = f"127.0.0.1:{port}"
            serve_refused(report, f"a port in use for {option}", folder / "port", address, options=[option, address], unchanged=False)
    serve_refused(report, "an address beyond loopback", folder / "open", "insecure", options=["--grpc-addr", "0.0.0.0:0"], status=None)
    serve_refused(report, "no address", folder / "open", "nowhere", options=["--grpc-addr", "nowhere"], status=None)
    for name, text, word in (("key", "memory_budgt = 1\n", "memory_budget"), ("toml", "memory_budget = = 1\n", "line 1"),
                             ("value", 'max_future = "soon"\n', "max_future")):
        path = folder / f"{name}.toml"
        path.write_text(text)
        serve_refused(report, f"a configuration with a wrong {name}", folder / "config", word, options=["--config", path], status=None)
    serve_refused(report, "a missing configuration", folder / "config", "none.toml", options=["--config", folder / "none.toml"], status=None)


def main():
    lib.need_binary()
    report = lib.Report("bad input")
    with lib.scratch() as folder:
        with report.guard("a server under bad input"), lib.Server(folder / "data") as server:
            bench = Bench(report, server, folder)
            for part in (check_sql, check_writes, check_files, check_wire, check_flight):
                with report.guard(part.__name__):
                    part(bench)
            report.equal("clean stop after all of it", server.stop(), 0)
        for part in (check_directories, check_settings):
            with report.guard(part.__name__):
                part(report, folder)
        shutil.rmtree(folder / "data", ignore_errors=True)
        with report.guard("disks"):
            small_disk.check_disks(report, folder, serve_refused)
    report.end()


if __name__ == "__main__":
    main()
