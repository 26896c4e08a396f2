//! Where the reduction of a tag is.

use super::codec::{decode_row, encode_row, list};
use crate::format::{DecodeError, Decoder, Encoder};
use crate::limits;
use crate::reduction::{Event, Extreme, Gap, Held, MINUTE, Minutes, ReducerState, Start, Summary, minute_of};
use crate::status::Status;

/// What the shortest summary takes.
const SUMMARY_BYTES_MIN: usize = 72;

pub fn encode_reducer(out: &mut Encoder, state: &ReducerState) {
    let ReducerState { kept, seen_to, held, minutes, door, newest_passed, owed } = state;
    out.i64(*seen_to);
    out.bool(kept.is_some());
    if let Some(kept) = kept {
        encode_row(out, kept);
    }
    for summary in [minutes.open, minutes.ahead] {
        out.bool(summary.is_some());
        if let Some(summary) = &summary {
            encode_summary(out, summary);
        }
    }
    out.f64(door.0);
    out.f64(door.1);
    out.bool(*newest_passed);
    out.u8(*owed);
    out.count(held.len());
    for Held { row, gap } in held {
        encode_row(out, row);
        out.bool(gap.is_some());
        if let Some(gap) = gap {
            encode_gap(out, gap);
        }
    }
}

pub fn decode_reducer(input: &mut Decoder<'_>) -> Result<ReducerState, DecodeError> {
    let seen_to = input.i64()?;
    let kept = if input.bool()? { Some(decode_row(input)?) } else { None };
    if kept.as_ref().is_some_and(|kept| kept.time < limits::TIME_MIN) {
        return Err(input.error("a sample that stays is older than any can be"));
    }
    let mut summary = || Ok(if input.bool()? { Some(decode_summary(input)?) } else { None });
    let minutes = Minutes { open: summary()?, ahead: summary()? };
    let door = (input.f64()?, input.f64()?);
    let (newest_passed, owed) = (input.bool()?, input.u8()?);
    let mut held = Vec::new();
    let mut before = kept.as_ref().map_or(i64::MAX, |kept| kept.time);
    for _ in 0..input.count(15)? {
        let row = decode_row(input)?;
        if held.len() == 2 || row.time <= before || row.time > limits::TIME_MAX {
            return Err(input.error("samples that are not decided on are too many, or do not ascend"));
        }
        let gap = if input.bool()? { Some(Box::new(decode_gap(input, before, row.time)?)) } else { None };
        before = row.time;
        held.push(Held { row, gap });
    }
    if owed > 2 {
        return Err(input.error(format!("{owed} samples are still to be counted as left out")));
    }
    Ok(ReducerState { kept, seen_to, held, minutes, door, newest_passed, owed })
}

fn encode_gap(out: &mut Encoder, gap: &Gap) {
    let Gap { last, done, open } = gap;
    out.i64(last.time);
    out.bool(last.value.is_some());
    out.f64(last.value.unwrap_or(0.0));
    out.u32(last.status.0);
    out.count(done.len());
    done.iter().for_each(|summary| encode_summary(out, summary));
    encode_summary(out, open);
}

/// A gap between samples of these times.
fn decode_gap(input: &mut Decoder<'_>, from: i64, to: i64) -> Result<Gap, DecodeError> {
    let time = input.i64()?;
    let there = input.bool()?;
    let value = Some(input.f64()?).filter(|_| there);
    let last = Event { time, value, status: Status(input.u32()?) };
    let done = list(input, SUMMARY_BYTES_MIN, decode_summary)?;
    let open = decode_summary(input)?;
    let all = || done.iter().chain([&open]);
    let is_inside = from <= open.from && open.to == time && time < to && all().all(|s| s.from >= from);
    // Each minute from there on makes a summary.
    let is_long = to.abs_diff(open.from) > limits::COMPRESSION_MAX;
    if !is_inside || is_long || !all().is_sorted_by(|a, b| a.to == b.from) {
        return Err(input.error("what was left out does not lie between the samples around it"));
    }
    Ok(Gap { last, done, open })
}

fn encode_summary(out: &mut Encoder, summary: &Summary) {
    out.i64(summary.from);
    out.varint(summary.to.abs_diff(summary.from));
    out.u32(summary.status.0);
    out.varint(summary.kept);
    out.f64(summary.kept_sum);
    out.varint(summary.count);
    for sum in [summary.sum, summary.squares, summary.sloped, summary.stepped] {
        out.f64(sum);
    }
    for extreme in [summary.least, summary.greatest] {
        out.bool(extreme.is_some());
        if let Some(Extreme { value, time, count }) = extreme {
            out.f64(value);
            out.i64(time);
            out.varint(count);
        }
    }
    match summary.start {
        Start::Sample(value) => {
            out.u8(1);
            out.f64(value);
        }
        Start::Between { line, held } => {
            out.u8(2);
            out.f64(line);
            out.f64(held);
        }
    }
    out.bool(summary.end.is_some());
    out.f64(summary.end.unwrap_or(0.0));
}

fn decode_summary(input: &mut Decoder<'_>) -> Result<Summary, DecodeError> {
    let from = input.i64()?;
    let length = input.varint()?;
    let to = i64::try_from(length).ok().and_then(|length| from.checked_add(length));
    let to = to.filter(|to| *to <= minute_of(from).saturating_add(MINUTE));
    let to = to.ok_or_else(|| input.error("a summary is longer than its minute"))?;
    let status = Status(input.u32()?);
    let (kept, kept_sum, count) = (counted(input)?, input.f64()?, counted(input)?);
    let (sum, squares, sloped, stepped) = (input.f64()?, input.f64()?, input.f64()?, input.f64()?);
    let mut extreme = || -> Result<Option<Extreme>, DecodeError> {
        if !input.bool()? {
            return Ok(None);
        }
        Ok(Some(Extreme { value: input.f64()?, time: input.i64()?, count: counted(input)? }))
    };
    let (least, greatest) = (extreme()?, extreme()?);
    let start = match input.u8()? {
        1 => Start::Sample(input.f64()?),
        2 => Start::Between { line: input.f64()?, held: input.f64()? },
        other => return Err(input.error(format!("no summary begins with {other}"))),
    };
    let is_ended = input.bool()?;
    let end = Some(input.f64()?).filter(|_| is_ended);
    Ok(Summary { from, to, status, kept, kept_sum, count, sum, squares, sloped, stepped, least, greatest, start, end })
}

/// A number of samples, to which more can be added.
fn counted(input: &mut Decoder<'_>) -> Result<u64, DecodeError> {
    let count = input.varint()?;
    if count > u64::from(u32::MAX) {
        return Err(input.error(format!("a summary tells of {count} samples")));
    }
    Ok(count)
}
