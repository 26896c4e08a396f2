#![allow(missing_docs, unused)]
use crate::{env::Env, error::Result}; use std::{path::{Path,PathBuf}, ops::RangeInclusive};
pub struct LogOptions { pub file_bytes: u64, pub bytes_max: u64 }
pub struct Log;
impl Log {
  pub fn recover(env: &Env, dir: &Path, options: LogOptions, after: u64, apply: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<(Log, Replay)> {todo!()}
  pub fn append(&mut self, payloads: &[&[u8]]) -> Result<u64> {todo!()}
  pub fn mark_idle(&mut self) -> Result<()> {todo!()}
  pub fn release(&mut self, through: u64) -> Result<()> {todo!()}
  pub fn last_sequence(&self) -> u64 {todo!()}
  pub fn bytes(&self) -> u64 {todo!()}
}
pub struct Replay { pub frames: u64, pub bytes: u64, pub lost: Vec<RangeInclusive<u64>>, pub quarantined: Vec<PathBuf> }
