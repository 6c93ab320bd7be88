//! What the endpoints about pods share; those that carry several streams over one WebSocket say in the first byte of a
//! message which.

use axum::extract::ws::{CloseFrame, Message, close_code};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut as _, BytesMut};

/// Bytes that are read from a pod at once.
pub(crate) const CHUNK: usize = 32 * 1024;
/// Messages under way in one direction.
pub(crate) const UNDER_WAY: usize = 16;

/// An answer instead of an upgrade.
pub(crate) fn refuse(status: StatusCode, text: String) -> Response {
    (status, text).into_response()
}

/// The answer where a pod is not on this node.
pub(crate) fn not_here(namespace: &str, pod: &str) -> Response {
    let text = format!("pod {namespace}/{pod} is not on this node\n");
    refuse(StatusCode::NOT_FOUND, text)
}

/// Bytes on a channel.
pub(crate) fn message(channel: u8, bytes: &[u8]) -> Message {
    let mut framed = BytesMut::with_capacity(bytes.len() + 1);
    framed.put_u8(channel);
    framed.put_slice(bytes);
    Message::Binary(framed.freeze())
}

/// Everything is done.
pub(crate) fn close() -> Message {
    Message::Close(Some(CloseFrame {
        code: close_code::NORMAL,
        reason: "".into(),
    }))
}
