use super::*;
use crate::format::{BlockTags, FrameBlock, SampleFrame, encode_frame};
use crate::sample::{Cell, Rows};
use crate::status::Status;
use crate::tag::TagId;

fn queued(rows: usize, text: &str) -> Queued {
    let cell = Cell { value: None, text: Some(text.into()), status: Status::BAD };
    let mut block = FrameBlock { tags: BlockTags::One(TagId(1)), rows: Rows::default(), coerced: Vec::new() };
    (0..rows).for_each(|i| block.rows.push(i64::try_from(i).unwrap(), &cell));
    let frame = Frame::Samples(SampleFrame { source: None, received: 0, rejected: 0, blocks: vec![block] });
    Queued { payload: encode_frame(&frame), frame, done: Done::new(None, drop) }
}

#[test]
fn a_frame_counts_as_it_is_written_and_as_it_is_applied() {
    let queue = Queue::new(usize::MAX);
    let text = "x".repeat(1000);
    for _ in 0..3 {
        queue.push(queued(100, &text), || Ok(true)).unwrap();
    }
    let bytes = queue.state.lock().bytes;
    assert!((3 * 2 * 100 * 1000..3 * 3 * 100 * 1000).contains(&bytes), "{bytes} bytes");
    assert_eq!(queue.take_group().len(), 3);
    assert_eq!(queue.state.lock().bytes, 0);
}

#[test]
fn writers_wait_where_frames_take_their_share_of_memory() {
    let queue = Queue::new(1);
    // The first goes in however large it is; the second asks whether it may give up.
    queue.push(queued(1, "x"), || Ok(true)).unwrap();
    let asked = std::cell::Cell::new(0);
    let give_up = || match asked.replace(asked.get() + 1) {
        0 => Ok(true),
        _ => Err(closed()),
    };
    assert!(queue.push(queued(1, "x"), give_up).is_err());
    assert_eq!(asked.get(), 2);
    assert_eq!(queue.take_group().len(), 1);
    queue.push(queued(1, "x"), || Ok(true)).unwrap();
}
