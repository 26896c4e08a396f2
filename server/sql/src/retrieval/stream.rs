//! Reads histories and answers them, batch by batch.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use tagus_engine::reduction::LeftOut;
use tagus_engine::retrieval::{Answers, Context, LeftOutIs, Output};
use tagus_engine::sample::Rows;
use tagus_engine::scan::{Histories, HistoryPart, HistoryRequest, QualitySet, ScanRequest, TagSelection};
use tagus_engine::segment::{Columns, ReadMetrics};
use tagus_engine::status::Quality;
use tagus_engine::tag::{Tag, TagId, TagType};

use super::answers::Collected;
use super::pieces::{self, Piece, Pieces};
use super::question::Question;
use super::texts::{Numbers, Texts};
use crate::blocking::{self, Step};
use crate::context::Reading;
use crate::error::external;
use crate::samples::Layout;

/// Answers of a batch.
const BATCH_ROWS: usize = 8192;
/// Answers of a batch whose texts may be long.
const TEXT_ROWS: usize = 64;
/// Parts of histories that are taken in one step: a query that was given up ends after it, and the
/// memory of what it keeps is asked for.
const PARTS: usize = 48;
/// What a partition takes beside its batches: pages as they were read, and what lies around ranges.
const RESERVED_BYTES: usize = 2 << 20;

/// A partition of a retrieval.
pub(super) struct Retrieval {
    pub(super) reading: Arc<Reading>,
    pub(super) question: Arc<Question>,
    /// Ascending.
    pub(super) tags: Vec<TagId>,
    pub(super) layout: Layout,
    /// Rows at most.
    pub(super) limit: usize,
    /// Counts what is read, of all partitions.
    pub(super) read: Arc<ReadMetrics>,
    pub(super) partition: usize,
}

/// The answers of a partition. Nothing is read before the stream is polled.
pub(super) fn open(
    retrieval: Retrieval,
    pool: &Arc<dyn MemoryPool>,
    metrics: &ExecutionPlanMetricsSet,
) -> SendableRecordBatchStream {
    let schema = Arc::clone(retrieval.layout.schema());
    let work = Work {
        memory: MemoryConsumer::new(format!("RetrievalExec[{}]", retrieval.partition)).register(pool),
        metrics: BaselineMetrics::new(metrics, retrieval.partition),
        left: retrieval.limit,
        pieces: None,
        next: Place { tag: 0, piece: 0 },
        source: None,
        answering: None,
        numbers: Numbers::default(),
        retrieval,
    };
    blocking::batches(schema, work)
}

/// A partition being answered.
struct Work {
    retrieval: Retrieval,
    /// Rows that may still come.
    left: usize,
    /// How the work is cut; none before the first step.
    pieces: Option<Pieces>,
    /// What is read after `source`.
    next: Place,
    source: Option<(Piece, Histories)>,
    answering: Option<Answering>,
    numbers: Numbers,
    memory: MemoryReservation,
    metrics: BaselineMetrics,
}

/// A piece of a tag.
struct Place {
    tag: usize,
    piece: u64,
}

/// A tag whose answers are on their way.
struct Answering {
    tag: Arc<Tag>,
    work: pieces::Work,
    texts: Texts,
    answers: Answers,
    /// Samples, of which those from here on are not taken in yet.
    samples: Option<(Arc<Rows>, Range<usize>)>,
    at: usize,
    /// Whether all samples have come.
    is_complete: bool,
}

impl blocking::Work for Work {
    fn step(mut self: Box<Work>) -> Result<Step<Work>> {
        let timer = self.metrics.elapsed_compute().clone();
        let timer = timer.timer();
        self.memory.try_resize(self.memory.size().max(RESERVED_BYTES))?;
        let mut collected = Collected::default();
        let mut ended = false;
        let mut parts = 0;
        while !ended && parts < PARTS && collected.len() < BATCH_ROWS && collected.text_bytes() < RESERVED_BYTES / 2 {
            ended = !self.advance(&mut collected)?;
            parts += 1;
        }
        if collected.len() >= self.left {
            collected.truncate(self.left);
            ended = true;
        }
        self.left -= collected.len();
        let rows = collected.len();
        let mut batches = Vec::new();
        if rows > 0 {
            batches.push(collected.batch(&self.retrieval.layout)?);
        }
        // This batch, and the one before it that is still being handed out.
        let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let texts = self.answering.as_ref().map_or(0, |answering| answering.texts.bytes());
        self.memory.try_resize(RESERVED_BYTES.saturating_add(2 * bytes).saturating_add(texts))?;
        self.metrics.output_rows().add(rows);
        drop(timer);
        Ok((batches, (!ended).then_some(self)))
    }
}

impl Work {
    /// Reads or answers a little; false at the end.
    fn advance(&mut self, collected: &mut Collected) -> Result<bool> {
        let Some((piece, histories)) = &mut self.source else { return self.open_next() };
        if let Some(answering) = &mut self.answering {
            if answering.answer(piece.reverse, &mut self.numbers) {
                let output = output(&self.retrieval.question);
                collected.take(&answering.tag, &mut answering.answers, output, &answering.texts);
                return Ok(true);
            }
            if answering.is_complete {
                self.answering = None;
            }
        }
        match histories.next().transpose().map_err(external)? {
            Some(HistoryPart::Begin(id, span)) => {
                let tag = self.retrieval.reading.tags.get(id).map(Arc::clone);
                let tag = tag.ok_or_else(|| DataFusionError::Internal(format!("no tag has number {}", id.0)))?;
                let work = piece.work(&self.retrieval.question, &tag, span);
                self.answering = Some(Answering {
                    tag,
                    work,
                    texts: Texts::default(),
                    answers: Answers::default(),
                    samples: None,
                    at: 0,
                    is_complete: false,
                });
            }
            Some(HistoryPart::Samples(rows, range)) => {
                if let Some(answering) = &mut self.answering {
                    (answering.samples, answering.at) = (Some((rows, range)), 0);
                    self.numbers.clear();
                }
            }
            Some(HistoryPart::LeftOut(left_out)) => {
                if let Some(answering) = &mut self.answering {
                    answering.work.leave_out(&left_out);
                }
            }
            Some(HistoryPart::End(_)) => {
                if let Some(answering) = &mut self.answering {
                    answering.is_complete = true;
                }
            }
            None => self.source = None,
        }
        Ok(true)
    }

    /// Begins to read the next piece; false where there is none.
    fn open_next(&mut self) -> Result<bool> {
        let Retrieval { reading, question, tags, read, .. } = &self.retrieval;
        let pieces = match self.pieces.take() {
            Some(pieces) => pieces,
            None => cut(reading, question, tags)?,
        };
        let together = matches!(pieces, Pieces::Whole);
        let Place { tag, piece } = self.next;
        let more = tag < tags.len();
        if more {
            let of = if together { tags.clone() } else { vec![tags[tag]] };
            let piece_of = pieces.get(question, piece);
            let request = request(reading, question, &piece_of, of);
            self.source = Some((piece_of, reading.view.histories(request, Arc::clone(read))));
            self.next = match piece + 1 < pieces.len(question) {
                _ if together => Place { tag: tags.len(), piece: 0 },
                true => Place { tag, piece: piece + 1 },
                false => Place { tag: tag + 1, piece: 0 },
            };
        }
        self.pieces = Some(pieces);
        Ok(more)
    }
}

/// How to cut the work for these tags.
fn cut(reading: &Reading, question: &Question, tags: &[TagId]) -> Result<Pieces> {
    if !Pieces::depend_on_samples(question) {
        return Ok(Pieces::of(question, 0.0));
    }
    let whole = Pieces::Whole.get(question, 0);
    let request = ScanRequest { from: whole.low, to: whole.high, ..ScanRequest::of(TagSelection::Ids(tags.to_vec())) };
    let rows = reading.view.about_rows(&request).map_err(external)?;
    let seconds = (whole.low.abs_diff(whole.high) as f64 / 1e9).max(1e-9);
    Ok(Pieces::of(question, rows as f64 / tags.len() as f64 / seconds))
}

/// What a piece needs of these tags.
fn request(reading: &Reading, question: &Question, piece: &Piece, tags: Vec<TagId>) -> HistoryRequest {
    let is_text = |id: &TagId| reading.tags.get(*id).is_some_and(|tag| tag.spec.tag_type == TagType::Text);
    let texts = if question.takes_texts() && tags.iter().any(is_text) { Columns::TEXT } else { Columns::NONE };
    let good = QualitySet::NONE.with(Quality::Good);
    let lenient = !matches!(question, Question::Processed { options, .. } if options.treat_uncertain_as_bad);
    HistoryRequest {
        low: piece.low,
        high: piece.high,
        context: match question {
            Question::Interpolated { .. } | Question::AtTimes(_) => Context { values_before: 2, value_after: true },
            Question::Processed { .. } => question.aggregate().map_or(Context::NONE, |a| a.machine().context()),
            Question::Plot { .. } => Context { values_before: 1, value_after: false },
        },
        values: if lenient { good.with(Quality::Uncertain) } else { good },
        spans: piece.needs_spans(question),
        left_out: question.aggregate().is_some_and(|aggregate| aggregate.left_out() != LeftOutIs::Nothing),
        columns: Columns::TIME | Columns::VALUE | Columns::STATUS | texts,
        tags,
    }
}

fn output(question: &Question) -> Output {
    question.aggregate().map_or(Output::Source, |aggregate| aggregate.output())
}

impl Answering {
    /// Takes samples in, or says that there are no more; true where answers came.
    fn answer(&mut self, reverse: bool, numbers: &mut Numbers) -> bool {
        // What runs backwards is answered as a whole.
        let room = match self.tag.spec.tag_type {
            _ if reverse => usize::MAX,
            TagType::Text | TagType::Digital => TEXT_ROWS,
            _ => BATCH_ROWS,
        };
        if let Some((rows, range)) = &self.samples {
            if numbers.is_empty() {
                numbers.fill(&self.tag, rows, range.clone(), &mut self.texts);
            }
            self.at = self.work.feed(numbers.samples(), self.at, &mut self.answers, room);
            if self.at >= range.len() {
                self.samples = None;
                numbers.clear();
            }
            return !reverse && !self.answers.is_empty();
        }
        if self.is_complete && self.work.finish(&mut self.answers, room) && reverse {
            self.answers.reverse();
        }
        self.is_complete && !self.answers.is_empty()
    }
}

impl pieces::Work {
    fn feed(
        &mut self,
        samples: tagus_engine::retrieval::Samples<'_>,
        at: usize,
        out: &mut Answers,
        room: usize,
    ) -> usize {
        match self {
            pieces::Work::Processor(processor) => processor.feed(samples, at, out, room),
            pieces::Work::Plot(plot) => plot.feed(samples, at, out, room),
        }
    }

    fn leave_out(&mut self, left_out: &LeftOut) {
        if let pieces::Work::Processor(processor) = self {
            processor.leave_out(left_out);
        }
    }

    fn finish(&mut self, out: &mut Answers, room: usize) -> bool {
        match self {
            pieces::Work::Processor(processor) => processor.finish(out, room),
            pieces::Work::Plot(plot) => {
                plot.finish(out);
                true
            }
        }
    }
}
