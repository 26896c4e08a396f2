//! Segments: immutable Parquet files of samples sorted by tag and time.
