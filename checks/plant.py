"""The synthetic plant W1, generated once by `gen.py` of the shared folder and kept in the cache."""

import shutil
import subprocess
import sys

import pyarrow
import pyarrow.parquet

import lib


def folder(tags, seconds):
    """The folder with samples.parquet and tags.csv as the generator writes them."""
    path = lib.CACHE / f"plant-{tags}-{seconds}"
    if not (path / "tags.csv").exists():
        generator = lib.SHARED / "bench/gen.py"
        if not generator.exists():
            raise FileNotFoundError(f"{generator} is absent")
        partial = path.with_name(path.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, generator, partial, str(tags), str(seconds)], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
    return path


def names(path):
    """Tag names by tag id; the names hold no commas."""
    lines = (path / "tags.csv").read_text().splitlines()[1:]
    return [line.split(",")[1] for line in lines]


def importable(tags, seconds):
    """The same samples as a Parquet file with the columns that `tagus import` reads."""
    path = folder(tags, seconds)
    out = path / "import.parquet"
    if not out.exists():
        source = pyarrow.parquet.ParquetFile(path / "samples.parquet")
        dictionary = pyarrow.array(names(path))
        schema = pyarrow.schema(
            {"tag": pyarrow.string(), "timestamp": pyarrow.timestamp("ns", "UTC"), "value": pyarrow.float64(), "status": pyarrow.int64()}
        )
        with pyarrow.parquet.ParquetWriter(f"{out}.partial", schema, compression="zstd") as writer:
            for batch in source.iter_batches(1 << 20):
                columns = [
                    dictionary.take(batch.column("tag_id")), batch.column("time"), batch.column("value"),
                    batch.column("quality").cast(pyarrow.int64()),
                ]
                writer.write_batch(pyarrow.record_batch(columns, schema=schema))
        out.with_name(out.name + ".partial").rename(out)
    return out
