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
    let queue = Queue::default();
    let text = "x".repeat(1000);
    for _ in 0..3 {
        queue.push(queued(100, &text), || Ok(true)).unwrap();
    }
    let bytes = queue.state.lock().bytes;
    assert!((3 * 2 * 100 * 1000..3 * 3 * 100 * 1000).contains(&bytes), "{bytes} bytes");
    assert_eq!(queue.take_group().len(), 3);
    assert_eq!(queue.state.lock().bytes, 0);
}
