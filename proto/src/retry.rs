//! The retry delay of RESOURCE_EXHAUSTED, carried as `google.rpc.RetryInfo` in the status
//! details, where clients of any language look for it.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `google.rpc.Status`, the content of the header `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

/// A RESOURCE_EXHAUSTED status that asks the client to come back after `delay`.
///
/// A delay that does not fit 64-bit seconds is cut to the longest that does.
pub fn exhausted(message: impl Into<String>, delay: Duration) -> Status {
    let message = message.into();
    let seconds = i64::try_from(delay.as_secs()).unwrap_or(i64::MAX);
    let nanos = i32::try_from(delay.subsec_nanos()).unwrap_or(0);
    let info = RetryInfo { retry_delay: Some(prost_types::Duration { seconds, nanos }) };
    let details = Details {
        code: i32::from(Code::ResourceExhausted),
        message: message.clone(),
        details: vec![prost_types::Any { type_url: RETRY_INFO.to_owned(), value: info.encode_to_vec() }],
    };
    Status::with_details(Code::ResourceExhausted, message, Bytes::from(details.encode_to_vec()))
}

/// The delay that a status asks for; `None` where it carries none that can be read.
pub fn retry_delay(status: &Status) -> Option<Duration> {
    let details = Details::decode(status.details()).ok()?;
    let info = details.details.iter().find(|any| any.type_url == RETRY_INFO)?;
    let delay = RetryInfo::decode(&info.value[..]).ok()?.retry_delay?;
    Some(Duration::new(
        u64::try_from(delay.seconds).ok()?,
        u32::try_from(delay.nanos).ok().filter(|n| *n < 1_000_000_000)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_survives_the_wire() {
        let delay = Duration::new(3, 250_000_000);
        let status = exhausted("writing failed: the queue is full; retry later", delay);
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(retry_delay(&status), Some(delay));
    }

    #[test]
    fn details_of_another_kind_or_damaged_ones_give_no_delay() {
        assert_eq!(retry_delay(&Status::resource_exhausted("full")), None);
        let garbage = Bytes::from_static(&[0xFF, 0x01, 0x02]);
        assert_eq!(retry_delay(&Status::with_details(Code::ResourceExhausted, "full", garbage)), None);
        let negative = RetryInfo { retry_delay: Some(prost_types::Duration { seconds: -1, nanos: 0 }) };
        let any = prost_types::Any { type_url: RETRY_INFO.to_owned(), value: negative.encode_to_vec() };
        let details = Details { code: 8, message: String::new(), details: vec![any] };
        let status = Status::with_details(Code::ResourceExhausted, "full", Bytes::from(details.encode_to_vec()));
        assert_eq!(retry_delay(&status), None);
    }
}
