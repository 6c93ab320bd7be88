//! RTDS: the toggles as one runtime layer.

use super::{RUNTIME_LAYER, resources};
use crate::snapshot::{Kind, Resources};
use envoy_types::pb::google::protobuf::{Value, value};
use prost::Message;
use std::collections::BTreeMap;

/// `envoy.service.runtime.v3.Runtime` with fields in order: the generated type keeps them in a hash map, so
/// its encoding, and with it the version, would change from one replica to the next.
#[derive(Clone, PartialEq, Message)]
struct Runtime {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    layer: Option<Fields>,
}

/// `google.protobuf.Struct` with fields in order.
#[derive(Clone, PartialEq, Message)]
struct Fields {
    #[prost(btree_map = "string, message", tag = "1")]
    fields: BTreeMap<String, Value>,
}

pub(super) fn layers(toggles: &BTreeMap<String, String>) -> Resources {
    let fields = toggles.iter().map(|(key, value)| {
        let value = Value {
            kind: Some(value::Kind::StringValue(value.clone())),
        };
        (key.clone(), value)
    });
    let runtime = Runtime {
        name: RUNTIME_LAYER.into(),
        layer: Some(Fields {
            fields: fields.collect(),
        }),
    };
    resources(
        Kind::Runtime,
        [(RUNTIME_LAYER.to_owned(), runtime.encode_to_vec())],
    )
}
