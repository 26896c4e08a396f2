#![allow(missing_docs, unused)]
use crate::{env::Disk, error::Result, sample::Rows, tag::*}; use std::{path::Path, sync::Arc};
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentMeta { pub id: u64, pub name: String, pub bytes: u64, pub tail_offset: u64, pub tail_crc: u32,
   pub rows: u64, pub first_sequence: u64, pub last_sequence: u64, pub first_tag: TagId, pub last_tag: TagId, pub tags: u32,
   pub first_time: i64, pub last_time: i64 }
pub struct SegmentWriter;
impl SegmentWriter {
  pub fn create(disk: &Arc<dyn Disk>, dir: &Path, plan: NewSegment) -> Result<SegmentWriter> { todo!() }
  pub fn write(&mut self, tag: TagId, tag_type: TagType, rows: &Rows) -> Result<()> { todo!() }
  pub fn finish(self) -> Result<SegmentMeta> { todo!() }
}
pub struct NewSegment { pub id: u64, pub name: String, pub first_sequence: u64, pub last_sequence: u64, pub zstd_level: i32 }
pub struct Segment{meta:SegmentMeta}
impl Segment { pub fn new(disk: Arc<dyn Disk>, dir: &Path, meta: SegmentMeta) -> Segment {todo!()} pub fn meta(&self)->&SegmentMeta{&self.meta} }
