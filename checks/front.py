"""What clients ask before they ask for data: catalogue, schema, health, metrics, the shapes of results."""

import json
import re
import urllib.request

import adbc_driver_flightsql.dbapi
import grpc
import pyarrow

import lib

ROWS = """tag,time,value,status
front.A,2026-01-01T12:00:15.999Z,1.5,
front.A,2026-01-01T12:00:16Z,,
front.A,2026-01-01T12:00:16.000000001Z,"Scan Timeout",Bad
"""


def check_front(report, folder):
    """All of it on a server with three samples."""
    with lib.Server(folder / "front") as server:
        server.must("write", "-", stdin=ROWS)
        for part in (check_catalogue, check_http, check_health, check_formats, check_current):
            with report.guard(part.__name__):
                part(report, server)
        report.equal("front: clean stop", server.stop(), 0)


def check_catalogue(report, server):
    with adbc_driver_flightsql.dbapi.connect(f"grpc://127.0.0.1:{server.grpc}", autocommit=True) as connection:
        info = connection.adbc_get_info()
        report.check("Flight SQL names its vendor", "tagus" in str(info.get("vendor_name", "")).lower(), info)
        report.check("Flight SQL lists table types", "TABLE" in [t.upper() for t in connection.adbc_get_table_types()])
        listed = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        report.equal("the catalogue", [c["catalog_name"] for c in listed], ["tagus"])
        schemas = {s["db_schema_name"]: s["db_schema_tables"] for s in listed[0]["catalog_db_schemas"]}
        tables = {t["table_name"]: [c["column_name"] for c in t["table_columns"]] for t in schemas.get("public", [])}
        report.equal("the columns of samples", tables.get("samples"), ["tag", "time", "value", "text", "quality", "status"])
        report.check("the other tables", {"tags", "current_values"} <= set(tables), list(tables))
        schema = connection.adbc_get_table_schema("samples")
        types = {field.name: field.type for field in schema}
        expected = dict(
            tag=pyarrow.string(), time=pyarrow.timestamp("ns", "UTC"), value=pyarrow.float64(), text=pyarrow.string(),
            quality=pyarrow.string(), status=pyarrow.int64(),
        )
        report.equal("the types of samples", types, expected)
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM samples")
            found = {field.name: field.type for field in cursor.fetch_arrow_table().schema}
            report.equal("the types of a result", found, expected)


def get(server, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http}{path}", timeout=10) as answer:
        return answer.status, answer.read().decode()


def check_http(report, server):
    report.equal("/healthz", get(server, "/healthz")[0], 200)
    report.equal("/readyz", get(server, "/readyz")[0], 200)
    status, text = get(server, "/metrics")
    report.check("/metrics", status == 200 and "# TYPE" in text, text[:300])
    report.check("/metrics names no tag", "front" not in text, [line for line in text.splitlines() if "front" in line])


def check_health(report, server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        answer = channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10)
        report.equal("gRPC health says serving", answer, b"\x08\x01")
        reflect = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        listed = b"".join(reflect(iter([b"\x3a\x01*"]), timeout=10))
        services = [b"tagus.v1.Ingest", b"tagus.v1.Tags", b"tagus.v1.Query", b"tagus.v1.Admin", b"grpc.health.v1.Health"]
        report.equal("reflection lists the services", [s for s in services if s not in listed], [])


def check_formats(report, server):
    """The exact text of results, as scripts rely on it."""
    sql = "SELECT * FROM samples ORDER BY time"
    csv = (
        "tag,time,value,text,quality,status\n"
        "front.A,2026-01-01T12:00:15.999Z,1.5,,good,0\n"
        "front.A,2026-01-01T12:00:16Z,,,bad,2157641728\n"
        "front.A,2026-01-01T12:00:16.000000001Z,,Scan Timeout,bad,2147483648\n"
    )
    report.equal("--format csv", server.must("sql", "--format", "csv", sql), csv)
    first = json.loads(server.must("sql", "--format", "json", sql).splitlines()[0])
    wanted = dict(tag="front.A", time="2026-01-01T12:00:15.999Z", value=1.5, text=None, quality="good", status=0)
    report.equal("--format json", first, wanted)
    report.equal("SQL from stdin", server.must("sql", "--format", "csv", stdin="SELECT 1 AS one\n"), "one\n1\n")
    none = server.must("sql", "--format", "csv", "SELECT tag FROM samples WHERE tag = 'nobody'")
    report.equal("an unknown tag gives no rows", none, "tag\n")


def check_current(report, server):
    row = server.must("sql", "--format", "csv", "SELECT * FROM current_values").splitlines()[1:]
    report.equal("the current value is the newest", row, ["front.A,2026-01-01T12:00:16.000000001Z,,Scan Timeout,bad,2147483648"])


def query_seconds(server):
    """Sum and number of query times so far."""
    text = get(server, "/metrics")[1]
    return [float(re.search(rf"^tagus_query_latency_seconds_{part} (\S+)", text, re.MULTILINE)[1]) for part in ("sum", "count")]
