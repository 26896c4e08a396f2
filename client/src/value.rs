//! What a sample carries.

/// The value of a sample. What becomes of it depends on the tag's type: see the server's rules.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value: only a status.
    Empty,
    /// A double.
    Number(f64),
    /// A 64-bit integer, exact; also the code of a digital state.
    Integer(i64),
    /// A switch.
    Boolean(bool),
    /// A string, the name of a digital state, or a system state (`Scan Timeout`).
    Text(Box<str>),
}

/// An OPC UA StatusCode: severity in the top two bits, then sub-code and flag bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Status(pub u32);

impl Status {
    /// Good, no sub-code.
    pub const GOOD: Status = Status(0);
    /// Uncertain, no sub-code.
    pub const UNCERTAIN: Status = Status(0x4000_0000);
    /// Bad, no sub-code.
    pub const BAD: Status = Status(0x8000_0000);
}

impl Value {
    /// Bytes on the heap and on the wire beyond the fixed part.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            _ => 0,
        }
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Number(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Integer(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Value {
        Value::Integer(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Boolean(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Text(value.into_boxed_str())
    }
}
