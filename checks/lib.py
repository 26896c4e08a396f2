"""What all checks share: the report, the server under test and its command line."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = pathlib.Path(os.environ.get("TAGUS_SHARED", ROOT.parent / "shared")).resolve()
CACHE = pathlib.Path(os.environ.get("TAGUS_CHECKS_CACHE", pathlib.Path.home() / ".cache/tagus/target/checks"))
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path.home() / ".cache/tagus/target"))
BINARY = pathlib.Path(os.environ.get("TAGUS_BIN", TARGET / "release/tagus"))
# Commands keep the names of their sources there, and nothing in the home of whoever runs this.
os.environ["XDG_STATE_HOME"] = str(CACHE.resolve() / "state")

ACCOUNTING = re.compile(
    r"rows=(?P<rows>\d+) stored=(?P<stored>\d+) replaced=(?P<replaced>\d+) duplicate=(?P<duplicate>\d+) "
    r"reduced=(?P<reduced>\d+) coerced=(?P<coerced>\d+) rejected=(?P<rejected>\d+)"
)


class Report:
    """Counts what holds and what does not; prints every failure, and the successes by title."""

    def __init__(self, title):
        self.title = title
        self.passed = self.failed = self.skipped = 0
        self.started = time.monotonic()
        print(f"== {title}", flush=True)

    def check(self, what, ok, detail=""):
        if ok:
            self.passed += 1
            print(f"ok      {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAILED  {what}: {str(detail)[:1500]}", flush=True)
        return bool(ok)

    def equal(self, what, found, expected):
        return self.check(what, found == expected, f"found {found!r}, expected {expected!r}")

    def skip(self, what, why):
        self.skipped += 1
        print(f"skipped {what}: {why}", flush=True)

    def note(self, text):
        print(f"        {text}", flush=True)

    @contextlib.contextmanager
    def guard(self, what):
        """A part that dies counts as failed, and the parts after it still run."""
        try:
            yield
        except Exception as error:  # noqa: BLE001: whatever it is, it is a failure of this part
            self.check(what, False, f"{type(error).__name__}: {error}")

    def end(self):
        took = time.monotonic() - self.started
        print(f"{self.title} took {took:.0f} s")
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        sys.exit(1 if self.failed else 0)


def free_ports(count):
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextlib.contextmanager
def scratch(prefix="tagus-check-"):
    """A folder that is gone afterwards."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Server:
    """One `tagus serve` on ports of its own, which it keeps when it is started again."""

    def __init__(self, data, config=None):
        self.data = pathlib.Path(data)
        self.grpc, self.http = free_ports(2)
        self.config = config
        self.log = pathlib.Path(f"{self.data}.log")
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.grpc}"

    def command(self):
        command = [
            str(BINARY), "serve", "--data", str(self.data),
            "--grpc-addr", f"127.0.0.1:{self.grpc}", "--http-addr", f"127.0.0.1:{self.http}",
        ]
        return command + (["--config", str(self.config)] if self.config else [])

    def launch(self):
        """Starts it and does not wait."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def start(self, timeout=60):
        """Starts it and waits until it is ready."""
        self.launch()
        deadline = time.monotonic() + timeout
        while not self.ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}: {self.tail()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server is not ready after {timeout} s: {self.tail()}")
            time.sleep(0.02)
        return self

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/readyz", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout=120):
        """Asks it to stop; gives its exit status."""
        if not self.alive():
            return self.process.returncode if self.process else None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return "it did not stop"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def tail(self, lines=5):
        if not self.log.exists():
            return ""
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def cpu_seconds(self):
        """User and system time of the process so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def run(self, *arguments, timeout=600, stdin=None):
        """Runs a client command against it."""
        return tagus(*arguments, url=self.url, timeout=timeout, stdin=stdin)

    def must(self, *arguments, timeout=600, stdin=None):
        """Runs a client command that has to succeed; gives its stdout."""
        done = self.run(*arguments, timeout=timeout, stdin=stdin)
        if done.returncode != 0:
            raise RuntimeError(f"tagus {' '.join(map(str, arguments))[:200]} ended with {done.returncode}: {done.stderr[-1000:]}")
        return done.stdout

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.alive():
            self.kill()


def tagus(*arguments, url=None, timeout=600, stdin=None):
    """Runs the binary; text in and out."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TAGUS_")}
    if url:
        environment["TAGUS_URL"] = url
    return subprocess.run(
        [str(BINARY), *map(str, arguments)], env=environment, timeout=timeout, text=True, encoding="utf-8",
        input=stdin if stdin is not None else "", capture_output=True, check=False,
    )


def accounting(text):
    """The last accounting line of an output as a dict of numbers."""
    found = list(ACCOUNTING.finditer(text))
    return {name: int(n) for name, n in found[-1].groupdict().items()} if found else None


def one_line_error(done, *words, status=1):
    """Why the end of a command is not one line `error: WHAT failed: WHY; DO THIS` that has the words;
    empty if it is. A `status` of None allows both 1, failed, and 2, wrong usage."""
    lines = done.stderr.splitlines()
    if done.returncode not in ((1, 2) if status is None else (status,)):
        return f"exit status {done.returncode}, expected {status or '1 or 2'}; stderr {done.stderr[:500]!r}"
    if len(lines) != 1 or not lines[0].startswith("error: "):
        return f"stderr is not one line that starts with error: {done.stderr[:500]!r}"
    for trace in ("panicked", "Some(", "Err(", "Os {", "{ code", "RUST_BACKTRACE", "Status {"):
        if trace in lines[0]:
            return f"Rust debug text: {lines[0]!r}"
    for word in words:
        if word.lower() not in lines[0].lower():
            return f"{word!r} is not named: {lines[0]!r}"
    if done.returncode == 1 and (": " not in lines[0][7:] or ";" not in lines[0]):
        return f"not WHAT failed: WHY; DO THIS: {lines[0]!r}"
    return ""


def need_binary():
    if not BINARY.exists():
        sys.exit(f"{BINARY} is missing; build it with `cargo build --release` or name it in TAGUS_BIN")
