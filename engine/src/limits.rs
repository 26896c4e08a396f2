//! Every bound of the engine, once. Each is checked before the first byte is taken.

/// Longest tag name in bytes of UTF-8.
pub const TAG_NAME_BYTES_MAX: usize = 1024;
/// Longest source name in bytes of UTF-8.
pub const SOURCE_NAME_BYTES_MAX: usize = 255;
/// Longest identity a source can be bound to, in bytes.
pub const IDENTITY_BYTES_MAX: usize = 255;
/// Longest text value, system state or digital state name in bytes.
pub const TEXT_BYTES_MAX: usize = 32 * 1024;
/// Longest unit, description or other metadata string of a tag in bytes.
pub const METADATA_BYTES_MAX: usize = 4096;
/// Most named states of one digital tag.
pub const STATES_MAX: usize = 4096;
/// Bytes of disk that writers leave alone, beside what the flush of the log will take: for the
/// manifest, for `tags.parquet`, and for what others take meanwhile.
pub const DISK_RESERVE_BYTES: u64 = 4 << 20;
/// Bytes of the names of a digital tag's states together.
pub const STATES_BYTES_MAX: usize = 256 << 10;
/// Most tags of one archive; ids are positive 32-bit integers in Parquet.
pub const TAGS_MAX: usize = 16_000_000;
/// Most sources whose sequence is remembered; beyond it the longest idle is forgotten.
pub const SOURCES_MAX: usize = 65_536;
/// Ended epochs of a source that are remembered, so that none of them is written to again.
pub const EPOCHS_ENDED_MAX: usize = 8;
/// Deletes that wait to be applied to segments, at most: readers look at all that touch their tags.
pub const DELETES_MAX: usize = 4096;
/// Ranges of tags in one delete frame at most; a delete of more is several.
pub const DELETE_RANGES_MAX: usize = 500_000;
/// Rules of retention at most.
pub const RETENTION_RULES_MAX: usize = 256;
/// Most samples in one batch: with a time and a value each they still make one log frame.
pub const BATCH_ROWS_MAX: usize = 500_000;
/// Largest payload of one log frame in bytes.
pub const FRAME_BYTES_MAX: usize = 8 << 20;
/// Most frame bytes written by one group commit; a single larger frame is its own group.
pub const GROUP_BYTES_MAX: usize = 4 << 20;
/// Bytes of one log file, its header block included. A frame of the largest size fits.
pub const LOG_FILE_BYTES: u64 = 16 << 20;
/// Alignment of groups in the log and of blocks in the tag directory.
pub const BLOCK_BYTES: usize = 4096;
/// Unflushed log that is kept at most; it bounds recovery time.
pub const LOG_BYTES_MAX: u64 = 256 << 20;
/// Least bound of the unflushed log. Beside what may wait in the queue and the rest of two files
/// it leaves room for the third of it at which a flush begins.
pub const LOG_BYTES_MIN: u64 = 160 << 20;
/// Largest manifest file that is written or read.
pub const MANIFEST_FILE_BYTES_MAX: u64 = 4 << 30;
/// Edits between two manifest snapshots.
pub const MANIFEST_EDITS_PER_SNAPSHOT: u64 = 32;
/// Largest log sequence and segment id: other readers have them as signed numbers of 64 bits. One
/// more can always be counted.
pub const SEQUENCE_MAX: u64 = i64::MAX.cast_unsigned();
/// Earliest source timestamp: 1900-01-01T00:00:00Z in nanoseconds since 1970 UTC.
pub const TIME_MIN: i64 = -2_208_988_800_000_000_000;
/// Latest source timestamp: the last nanosecond before 2262-01-01T00:00:00Z.
pub const TIME_MAX: i64 = 9_214_646_399_999_999_999;
/// Rows of one data page of a segment, at most.
pub const PAGE_ROWS: usize = 20_480;
/// Rows of one row group of a segment, at most.
pub const ROW_GROUP_ROWS: usize = 51 * PAGE_ROWS;
/// Entries of the dictionary of a column chunk, at most.
pub const DICTIONARY_ENTRIES_MAX: usize = 1 << 17;
/// Bytes of a page of a segment before compression, at most: several times the longest that is
/// written, which has 1 MiB of texts and one text more.
pub const PAGE_BYTES_MAX: usize = 8 << 20;
/// Bytes that merges give a segment at most, about.
pub const SEGMENT_BYTES: u64 = 1 << 30;
/// Bytes of a segment under one CRC32C.
pub const CHECKSUM_BLOCK_BYTES: usize = 64 * 1024;
/// Rows of one scan batch, at most.
pub const SCAN_BATCH_ROWS: usize = 8192;
/// Frames that wait for the log at most; beyond it writers wait.
pub const QUEUE_FRAMES_MAX: usize = 4096;
/// Bytes of memory that frames take which wait for the log, encoded and decoded, at most; less in a
/// small budget. Beyond it writers wait.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Ids of segments between those that an archive begins with and those that an archive begins with
/// which was restored from its backup: neither gives an id that the other gives.
pub const SEGMENT_IDS_PER_EPOCH: u64 = 1_000_000_000;
/// Answers of one retrieval for one tag, at most: a second apart they make three years.
pub const ANSWERS_PER_TAG_MAX: u64 = 100_000_000;
/// Bytes of texts in one batch of a scan, about: the batch ends with the rows that pass it.
pub const SCAN_TEXT_BYTES: usize = 4 << 20;
/// Rows with texts that are read at once where they are turned round.
pub const SCAN_TEXT_ROWS: usize = 512;
/// Memory that the reduction of a tag takes at most, about, in bytes: where it is at now, and where the
/// manifest has it.
pub const REDUCER_BYTES: usize = 2048;
/// Longest ExcMax in nanoseconds: summaries of as long a time are held in memory for each tag.
pub const EXCEPTION_MAX: u64 = 3_600_000_000_000;
/// Longest CompMax in nanoseconds: one sample may bring as many summaries as it has minutes.
pub const COMPRESSION_MAX: u64 = 24 * 3_600_000_000_000;
