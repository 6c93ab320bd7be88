//! The yardstick: `rcgen` signs certificates for pods with a key in this process, and nothing else.

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use std::time::Duration;

/// What was measured.
pub(crate) struct Alone {
    count: usize,
    processor_time: Duration,
}

impl Alone {
    /// Certificates that one core signs in a second.
    pub(crate) fn per_core_second(&self) -> f64 {
        self.count as f64 / self.processor_time.as_secs_f64()
    }
}

/// Signs as many.
///
/// # Errors
///
/// When a key or a certificate cannot be made, or the kernel does not tell processor time.
pub(crate) fn measure(count: usize) -> anyhow::Result<Alone> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(authority, KeyPair::generate().context("make a key")?);
    let key = KeyPair::generate().context("make a key")?;
    let before = own_thread_time()?;
    for _ in 0..count {
        let mut pod = CertificateParams::default();
        let name = super::mesh::SPIFFE_ID.try_into().context("write a name")?;
        pod.subject_alt_names = vec![SanType::URI(name)];
        pod.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        pod.use_authority_key_identifier_extension = true;
        let signed = pod.signed_by(&key, &issuer).context("sign")?;
        std::hint::black_box(signed);
    }
    Ok(Alone {
        count,
        processor_time: own_thread_time()?.saturating_sub(before),
    })
}

/// `/proc/thread-self/schedstat`: nanoseconds on a core, nanoseconds waiting for one, time slices.
fn own_thread_time() -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").context("read schedstat")?;
    let nanos = text.split_whitespace().next().unwrap_or_default();
    Ok(Duration::from_nanos(
        nanos.parse().context("read schedstat")?,
    ))
}
