//! Coming to the key service: with the asking workload's own certificate, or with none.

use super::Server;
use crate::definition::{IdentityForm, KeyServiceForm};
use crate::directory::Workload;
use crate::error::MeshError;
use crate::mesh::Mesh;
use crate::site::Site;
use harness_model::asking::{Answer, Ask, DenialCause, Token, Wish};
use harness_model::handshake::Alert;
use probe_api::identity::{IdentityAsk, IdentityDesk};

impl Mesh {
    /// What the probe of `from` is to be told. The certificate that it shows is what the authority issues to it: the probe makes
    /// the key itself, as with every handshake, and that of its sidecar stays with the sidecar.
    pub(super) async fn at_the_key_service(
        &self,
        form: &IdentityForm,
        site: &Site,
        ask: &Ask,
        from: &Workload,
    ) -> Result<IdentityAsk, MeshError> {
        let missing = |what: &str| MeshError::Missing(format!("ask the key service: {what}"));
        let keys = form.key_service.as_ref();
        let keys = keys.ok_or_else(|| missing("the mesh does not say where it is"))?;
        let certificate = match &ask.token {
            Token::None => None,
            Token::Own => Some(Box::new(self.own_certificate(form, site, from).await?)),
            _ => return Err(missing("it takes no tokens")),
        };
        let KeyServiceForm {
            component,
            port,
            certificate: shown,
            audit: _,
        } = keys;
        let server = self.server((component, *port, shown), site, from).await?;
        let Server {
            address,
            name,
            root,
        } = server;
        Ok(IdentityAsk {
            token: None,
            at: IdentityDesk::KeyService {
                address,
                server_name: name,
                root,
                certificate,
            },
        })
    }

    /// How a certificate of the workload is obtained: from the authority, as the agent of its node does.
    async fn own_certificate(
        &self,
        form: &IdentityForm,
        site: &Site,
        from: &Workload,
    ) -> Result<IdentityAsk, MeshError> {
        let agent = self.agent_beside(form, from).await?;
        let token = site.token(&agent, form.authority.audience.clone());
        Ok(IdentityAsk {
            token: Some(token.await?),
            at: self.authority(form, site, from, Wish::Right).await?,
        })
    }
}

/// TLS ended with this alert (RFC 8446, 6).
pub(super) fn denied_with(code: u8) -> Answer {
    let alert = Alert::of_code(code);
    Answer::Denied {
        code: format!("alert {code}"),
        message: alert.map_or("it has no name", Alert::name).to_owned(),
        cause: alert.and_then(cause_of),
    }
}

/// The cause that an alert tells; none for those that others than the client's certificate give cause to, too.
fn cause_of(alert: Alert) -> Option<DenialCause> {
    match alert {
        Alert::CertificateRequired => Some(DenialCause::NoCertificate),
        Alert::UnknownCa => Some(DenialCause::UnknownAuthority),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_about_the_client_s_certificate_alone_is_a_cause() {
        for (code, message, cause) in [
            (
                116,
                "certificate_required",
                Some(DenialCause::NoCertificate),
            ),
            (48, "unknown_ca", Some(DenialCause::UnknownAuthority)),
            (40, "handshake_failure", None),
            (42, "bad_certificate", None),
            (70, "protocol_version", None),
            (1, "it has no name", None),
        ] {
            let denied = Answer::Denied {
                code: format!("alert {code}"),
                message: message.to_owned(),
                cause,
            };
            assert_eq!(denied_with(code), denied);
        }
    }
}
