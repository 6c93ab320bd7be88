//! Whether anything could be signed now.

use crate::keeping::Issuer;
use crate::keys::{INTERMEDIATE, Keys};
use rcgen::PublicKeyData as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tracing::warn;

/// How often the key service is asked while all is well, and while it is not.
const WELL: Duration = Duration::from_secs(5);
const UNWELL: Duration = Duration::from_secs(1);

/// Asks the key service, from time to time and when somebody could not have something signed (`doubt`), whether it has the
/// key that is issued with, and tells the answer. For ever.
#[expect(
    clippy::disallowed_methods,
    reason = "that a key service is away without being asked is no event"
)]
pub(crate) async fn run(
    keys: Keys,
    mut issuer: watch::Receiver<Option<Arc<Issuer>>>,
    doubt: Arc<Notify>,
    can_sign: watch::Sender<bool>,
) {
    loop {
        let current = issuer.borrow_and_update().clone();
        let is_well = match current {
            Some(current) => has_key(&keys, &current).await,
            None => false,
        };
        can_sign.send_if_modified(|known| std::mem::replace(known, is_well) != is_well);
        let pause = if is_well { WELL } else { UNWELL };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = doubt.notified() => {}
            changed = issuer.changed() => if changed.is_err() {
                return;
            }
        }
    }
}

async fn has_key(keys: &Keys, issuer: &Issuer) -> bool {
    let wanted = issuer.certificate.key.subject_public_key_info();
    match keys.list().await {
        Ok(keys) => {
            let has = keys.iter().any(|key| {
                key.name == INTERMEDIATE
                    && key.version == issuer.place.intermediate
                    && key.public_key == wanted
            });
            if !has {
                warn!(
                    version = issuer.place.intermediate,
                    "the key service does not have the key of the intermediate"
                );
            }
            has
        }
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "nothing can be signed"
            );
            false
        }
    }
}
