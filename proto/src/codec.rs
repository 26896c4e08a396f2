//! Reads messages whose memory is bounded before it is taken.

use std::marker::PhantomData;

use prost::Message;
use prost::bytes::Buf;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use crate::bounds::{Bounded, ENTRY_BYTES_MAX, entry_bytes};
use crate::v1;

/// Prost's codec, which refuses messages with too many entries.
pub struct BoundedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> BoundedCodec<T, U> {
        BoundedCodec(PhantomData)
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Bounded + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> BoundedDecoder<U> {
        BoundedDecoder(ProstCodec::<T, U>::default().decoder())
    }
}

/// Prost's decoder behind the check.
pub struct BoundedDecoder<U>(ProstDecoder<U>);

impl<U: Message + Bounded + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // A message lies in one piece: the transport gathers it before it is decoded.
        if U::KEEPS_BYTES || buffer.chunk().len() != buffer.remaining() {
            check_entries::<U>(buffer.chunk())?;
            return self.0.decode(buffer);
        }
        // Reading a slice is faster than reading the transport's buffer field by field.
        let message = buffer.chunk();
        let length = message.len();
        let decoded = decode_bounded(message)?;
        buffer.advance(length);
        Ok(Some(decoded))
    }
}

fn check_entries<U: Bounded>(message: &[u8]) -> Result<(), Status> {
    let bytes = entry_bytes(message, &U::SHAPE);
    if bytes > ENTRY_BYTES_MAX {
        return Err(Status::out_of_range(format!(
            "reading the message failed: its entries would take {bytes} bytes of memory, at most {ENTRY_BYTES_MAX} are allowed; split it"
        )));
    }
    Ok(())
}

fn decode_bounded<U: Message + Bounded + Default>(message: &[u8]) -> Result<U, Status> {
    check_entries::<U>(message)?;
    U::decode(message).map_err(|error| Status::invalid_argument(unreadable(&error)))
}

/// Reads a message of the ingest stream as the server does.
///
/// # Errors
/// What the client is told of a message that takes too much memory, or is none.
pub fn decode_write_request(message: &[u8]) -> Result<v1::WriteRequest, Status> {
    decode_bounded(message)
}

fn unreadable(error: &prost::DecodeError) -> String {
    format!("reading the message failed: {error}; correct the client")
}
