//! Columns of one shape and one kind of value: what a batch is made of.

use tagus_proto::v1;

use crate::value::Value;

/// One sample as it waits for its batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Index into the writer's names.
    pub tag: u32,
    pub status: u32,
    /// Nanoseconds since 1970 UTC.
    pub time: i64,
    pub value: Value,
}

/// What a block's samples share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// One time, many tags.
    Scan { time: i64, tags: Vec<u32> },
    /// One tag, many times.
    Series { tag: u32, times: Vec<i64> },
}

/// The values of a block, of one kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Column {
    Empty,
    Numbers(Vec<f64>),
    Integers(Vec<i64>),
    Booleans(Vec<bool>),
    Texts(Vec<Box<str>>),
}

/// The kind of a value; blocks hold one kind each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    Empty,
    Number,
    Integer,
    Boolean,
    Text,
    /// A text that may name a new state of a digital tag; what [`Kind::of`] cannot know.
    Word,
}

/// Samples of one shape and one kind of value, in the order they were written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    pub shape: Shape,
    pub column: Column,
    /// None (all Good), one for all, or one a sample.
    pub statuses: Vec<u32>,
    /// Which sample of the batch each is, in the order they were written.
    pub origins: Vec<u32>,
}

/// The server's handles on one stream, by index of name. Grows only.
#[derive(Debug, Default)]
pub(crate) struct Handles(Vec<Option<u32>>);

impl Kind {
    pub const COUNT: usize = 6;

    pub fn of(value: &Value) -> Kind {
        match value {
            Value::Empty => Kind::Empty,
            Value::Number(_) => Kind::Number,
            Value::Integer(_) => Kind::Integer,
            Value::Boolean(_) => Kind::Boolean,
            Value::Text(_) => Kind::Text,
        }
    }
}

impl Handles {
    pub fn get(&self, tag: u32) -> Option<u32> {
        self.0.get(tag as usize).copied().flatten()
    }

    pub fn set(&mut self, tag: u32, handle: u32) {
        let at = tag as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        self.0[at] = Some(handle);
    }
}

impl Column {
    pub fn with_capacity(kind: Kind, rows: usize) -> Column {
        match kind {
            Kind::Empty => Column::Empty,
            Kind::Number => Column::Numbers(Vec::with_capacity(rows)),
            Kind::Integer => Column::Integers(Vec::with_capacity(rows)),
            Kind::Boolean => Column::Booleans(Vec::with_capacity(rows)),
            Kind::Text | Kind::Word => Column::Texts(Vec::with_capacity(rows)),
        }
    }

    /// Appends a value of the column's kind.
    pub fn push(&mut self, value: Value) {
        match (self, value) {
            (Column::Empty, Value::Empty) => {}
            (Column::Numbers(column), Value::Number(value)) => column.push(value),
            (Column::Integers(column), Value::Integer(value)) => column.push(value),
            (Column::Booleans(column), Value::Boolean(value)) => column.push(value),
            (Column::Texts(column), Value::Text(value)) => column.push(value),
            (column, value) => unreachable!("a {:?} among {column:?}", Kind::of(&value)),
        }
    }

    /// The value of a sample; there is none in a column of nothing and beyond the last.
    fn get(&self, i: usize) -> Value {
        let value = match self {
            Column::Empty => None,
            Column::Numbers(column) => column.get(i).copied().map(Value::Number),
            Column::Integers(column) => column.get(i).copied().map(Value::Integer),
            Column::Booleans(column) => column.get(i).copied().map(Value::Boolean),
            Column::Texts(column) => column.get(i).cloned().map(Value::Text),
        };
        value.unwrap_or(Value::Empty)
    }

    fn reorder(&mut self, order: &[usize]) {
        match self {
            Column::Empty => {}
            Column::Numbers(column) => pick(column, order),
            Column::Integers(column) => pick(column, order),
            Column::Booleans(column) => pick(column, order),
            Column::Texts(column) => pick(column, order),
        }
    }

    fn encode(&self) -> v1::block::Values {
        match self {
            Column::Empty => v1::block::Values::NoValues(v1::NoValues {}),
            Column::Numbers(column) => v1::block::Values::Doubles(v1::Doubles { values: column.clone() }),
            Column::Integers(column) => v1::block::Values::Integers(v1::Integers { values: column.clone() }),
            Column::Booleans(column) => v1::block::Values::Booleans(v1::Booleans { values: column.clone() }),
            Column::Texts(column) => {
                let values = column.iter().map(|text| text.to_string()).collect();
                v1::block::Values::Texts(v1::Texts { values })
            }
        }
    }
}

impl Block {
    /// The number of samples.
    pub fn rows(&self) -> usize {
        self.origins.len()
    }

    /// Tag, time and origin of a sample; `None` beyond the last.
    pub fn sample(&self, i: usize) -> Option<(u32, i64, u32)> {
        let origin = *self.origins.get(i)?;
        match &self.shape {
            Shape::Scan { time, tags } => Some((*tags.get(i)?, *time, origin)),
            Shape::Series { tag, times } => Some((*tag, *times.get(i)?, origin)),
        }
    }

    /// Value and status of a sample.
    pub fn content(&self, i: usize) -> (Value, u32) {
        let status = match self.statuses.as_slice() {
            [] => 0,
            [one] => *one,
            each => each.get(i).copied().unwrap_or(0),
        };
        (self.column.get(i), status)
    }

    /// The message, with handles where they are known on this stream.
    ///
    /// A scan carries tags by handle before tags by name; where it has both, the block takes that
    /// order itself, so that indices in rejections count through the block as it was sent.
    pub fn encode(&mut self, handles: &Handles, name: &dyn Fn(u32) -> String) -> v1::Block {
        self.put_known_first(handles);
        let shape = match &self.shape {
            Shape::Scan { time, tags } => {
                let known = tags.iter().map_while(|tag| handles.get(*tag)).collect::<Vec<_>>();
                let names = tags[known.len()..].iter().map(|tag| name(*tag)).collect();
                v1::block::Shape::Scan(v1::Scan { time: *time, handles: known, names })
            }
            Shape::Series { tag, times } => {
                let tag = match handles.get(*tag) {
                    Some(handle) => v1::series::Tag::Handle(handle),
                    None => v1::series::Tag::Name(name(*tag)),
                };
                v1::block::Shape::Series(v1::Series { tag: Some(tag), times: times.clone() })
            }
        };
        v1::Block { shape: Some(shape), values: Some(self.column.encode()), statuses: self.statuses.clone() }
    }

    /// Samples of one tag keep their order, so that the last of them still wins.
    fn put_known_first(&mut self, handles: &Handles) {
        let Shape::Scan { tags, .. } = &mut self.shape else { return };
        if tags.iter().is_sorted_by_key(|tag| handles.get(*tag).is_none()) {
            return;
        }
        let mut order: Vec<usize> = (0..tags.len()).collect();
        order.sort_by_key(|i| handles.get(tags[*i]).is_none());
        pick(tags, &order);
        pick(&mut self.origins, &order);
        self.column.reorder(&order);
        if self.statuses.len() > 1 {
            pick(&mut self.statuses, &order);
        }
    }
}

/// Puts `column` in `order`, a permutation of its indices.
fn pick<T: Clone>(column: &mut Vec<T>, order: &[usize]) {
    *column = order.iter().map(|i| column[*i].clone()).collect();
}

/// Statuses as the wire wants them: none where all are Good, one where all are equal.
pub(crate) fn squeeze(mut statuses: Vec<u32>) -> Vec<u32> {
    if let Some(first) = statuses.first().copied()
        && statuses.iter().all(|status| *status == first)
    {
        statuses.truncate(usize::from(first != 0));
    }
    statuses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_shrink_to_none_one_or_each() {
        assert_eq!(squeeze(vec![0, 0]), []);
        assert_eq!(squeeze(vec![7, 7, 7]), [7]);
        assert_eq!(squeeze(vec![0, 7]), [0, 7]);
        assert_eq!(squeeze(vec![]), []);
    }

    #[test]
    fn a_scan_puts_known_tags_first_with_all_its_columns() {
        let mut handles = Handles::default();
        handles.set(5, 50);
        handles.set(1, 10);
        let mut block = Block {
            shape: Shape::Scan { time: 9, tags: vec![0, 1, 3, 5, 1] },
            column: Column::Integers(vec![100, 101, 103, 105, 111]),
            statuses: vec![1, 2, 3, 4, 5],
            origins: vec![10, 11, 12, 13, 14],
        };
        let sent = block.encode(&handles, &|tag| format!("t{tag}"));
        let v1::block::Shape::Scan(scan) = sent.shape.unwrap() else { panic!("a scan stays a scan") };
        assert_eq!(scan.handles, [10, 50, 10]);
        assert_eq!(scan.names, ["t0", "t3"]);
        assert_eq!(block.column, Column::Integers(vec![101, 105, 111, 100, 103]));
        assert_eq!(sent.statuses, [2, 4, 5, 1, 3]);
        assert_eq!(block.origins, [11, 13, 14, 10, 12]);
    }
}
