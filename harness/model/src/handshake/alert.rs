//! The alerts of TLS.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! alerts {
    ($($alert:ident = $code:literal, $name:literal, $words:literal;)+) => {
        /// An alert, by its name in RFC 8446, section 6.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
        )]
        pub enum Alert {
            $(
                #[doc = $words]
                #[serde(rename = $name)]
                $alert,
            )+
        }

        impl Alert {
            /// The alert with this number; none where the RFC has none.
            #[must_use]
            pub fn of_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$alert),)+
                    _ => None,
                }
            }

            /// The name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$alert => $name,)+
                }
            }
        }
    };
}

alerts! {
    CloseNotify = 0, "close_notify", "No more data is sent.";
    UnexpectedMessage = 10, "unexpected_message", "A message that does not belong there.";
    BadRecordMac = 20, "bad_record_mac", "A record that cannot be decrypted.";
    RecordOverflow = 22, "record_overflow", "A record that is too long.";
    HandshakeFailure = 40, "handshake_failure", "Nothing that both sides speak.";
    BadCertificate = 42, "bad_certificate", "A certificate that is corrupt, or whose signatures do not fit.";
    UnsupportedCertificate = 43, "unsupported_certificate", "A certificate of a type that is not supported.";
    CertificateRevoked = 44, "certificate_revoked", "A certificate that its signer has revoked.";
    CertificateExpired = 45, "certificate_expired", "A certificate that has ended, or is not valid now.";
    CertificateUnknown = 46, "certificate_unknown", "A certificate that is not accepted for some other reason.";
    IllegalParameter = 47, "illegal_parameter", "A field that is out of range, or contradicts others.";
    UnknownCa = 48, "unknown_ca", "A certificate that leads to no root that is trusted.";
    AccessDenied = 49, "access_denied", "A certificate that is right, of somebody who may not.";
    DecodeError = 50, "decode_error", "A message that cannot be decoded.";
    DecryptError = 51, "decrypt_error", "A signature or a hash that does not fit.";
    ProtocolVersion = 70, "protocol_version", "A version that is not supported.";
    InsufficientSecurity = 71, "insufficient_security", "Nothing that is safe enough.";
    InternalError = 80, "internal_error", "Something that has nothing to do with the peer.";
    InappropriateFallback = 86, "inappropriate_fallback", "A client that tries less than it could.";
    UserCanceled = 90, "user_canceled", "Somebody does not want to go on.";
    MissingExtension = 109, "missing_extension", "An extension that must be there is not.";
    UnsupportedExtension = 110, "unsupported_extension", "An extension that must not be there.";
    UnrecognizedName = 112, "unrecognized_name", "A server name that nobody has here.";
    BadCertificateStatusResponse = 113, "bad_certificate_status_response", "An OCSP response that is not accepted.";
    UnknownPskIdentity = 115, "unknown_psk_identity", "A key that was to be shared and is not known.";
    CertificateRequired = 116, "certificate_required", "A client that must show a certificate and shows none.";
    NoApplicationProtocol = 120, "no_application_protocol", "No protocol of ALPN that both sides speak.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_those_of_the_rfc() {
        for (code, alert, name) in [
            (42, Alert::BadCertificate, "bad_certificate"),
            (45, Alert::CertificateExpired, "certificate_expired"),
            (48, Alert::UnknownCa, "unknown_ca"),
            (51, Alert::DecryptError, "decrypt_error"),
            (116, Alert::CertificateRequired, "certificate_required"),
        ] {
            assert_eq!(Alert::of_code(code), Some(alert));
            assert_eq!(alert.name(), name);
            let written = serde_json::to_value(alert).expect("a text");
            assert_eq!(written, name, "files name it as the RFC does");
        }
        assert_eq!(Alert::of_code(1), None);
    }
}
