//! Writes clients and servers of the two services. Their messages are Rust types with `prost` attributes, so that nobody
//! needs `protoc`.

use tonic_build::manual::{Builder, Method, Service};

/// The codec of every method.
const CODEC: &str = "tonic_prost::ProstCodec";

fn main() {
    let keys = [
        ("create_key", "CreateKey", "CreateKeyRequest", "Key"),
        ("rotate_key", "RotateKey", "RotateKeyRequest", "Key"),
        ("list_keys", "ListKeys", "ListKeysRequest", "ListKeysReply"),
        ("sign", "Sign", "SignRequest", "SignReply"),
    ];
    let mut service = Service::builder()
        .name("KeyService")
        .package("mesh.meshproof.io.keys.v1");
    for (name, route, input, output) in keys {
        service = service.method(method("keys", name, route, input, output).build());
    }
    let keys = service.build();
    let authority = Service::builder()
        .name("CertificateAuthority")
        .package("mesh.meshproof.io.authority.v1")
        .method(method("authority", "issue", "Issue", "IssueRequest", "IssueReply").build())
        .method(
            method(
                "authority",
                "watch_trust_bundle",
                "WatchTrustBundle",
                "WatchTrustBundleRequest",
                "TrustBundle",
            )
            .server_streaming()
            .build(),
        )
        .build();
    Builder::new().compile(&[keys, authority]);
}

fn method(
    module: &str,
    name: &str,
    route: &str,
    input: &str,
    output: &str,
) -> tonic_build::manual::MethodBuilder {
    Method::builder()
        .name(name)
        .route_name(route)
        .input_type(format!("crate::{module}::{input}"))
        .output_type(format!("crate::{module}::{output}"))
        .codec_path(CODEC)
}
