//! What the mesh publishes as its trust bundle, beside what its sidecars get.

use crate::definition::PublishedForm;
use crate::error::MeshError;
use crate::mesh::Mesh;
use crate::site::Site;
use crate::template::Context;
use crate::wait;
use futures::future::{join_all, try_join_all};
use futures::stream::{StreamExt as _, select_all};
use harness_model::causes::chain;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::runtime::watcher;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Roots as readings of sidecars tell them: SHA-256 over the DER of each, hexadecimal.
pub type Roots = BTreeSet<String>;

/// The trust bundle of one namespace.
#[derive(Debug)]
pub struct Published {
    /// Its cluster, as the topology calls it.
    pub cluster: String,
    /// Its namespace.
    pub namespace: String,
    /// What is in it; empty where it is not there. An error where it could not be read.
    pub roots: Result<Roots, MeshError>,
}

impl Mesh {
    /// What is published everywhere; empty where the mesh does not say where it is. In each cluster that is waited for, at most
    /// `patience`, until it is something that its sidecars trust: `trusted` has that by cluster, several sets where they differ.
    /// Where nobody tells what is trusted nothing is waited for.
    pub async fn published(
        &self,
        trusted: &BTreeMap<String, BTreeSet<Roots>>,
        patience: Duration,
    ) -> Vec<Published> {
        let form = self.definition.rotation.as_ref();
        let Some(form) = form.and_then(|form| form.published.as_ref()) else {
            return Vec::new();
        };
        let sites = self.sites.iter().map(|site| {
            let trusted = trusted.get(site.context.cluster());
            site.published(form, trusted, patience)
        });
        join_all(sites).await.into_iter().flatten().collect()
    }
}

impl PublishedForm {
    /// The namespaces of a cluster in which it is read.
    pub(crate) fn places(&self, context: &Context) -> Vec<&str> {
        let others = self.others.iter().filter(|_| context.is_ours());
        let all = self.namespaces.iter().chain(others);
        all.map(String::as_str).collect()
    }
}

impl Site {
    async fn published(
        &self,
        form: &PublishedForm,
        trusted: Option<&BTreeSet<Roots>>,
        patience: Duration,
    ) -> Vec<Published> {
        let waited = match trusted {
            Some(trusted) => self.until_published(form, trusted, patience).await,
            None => Ok(()),
        };
        // When its time is over it is judged by what is read now, and before that by nothing.
        let unknown = &waited
            .err()
            .filter(|error| !matches!(error, MeshError::NotReady { .. }))
            .map(|error| chain(&error));
        let places = form.places(&self.context).into_iter();
        let read = places.map(|namespace| async move {
            Published {
                cluster: self.context.cluster().to_owned(),
                namespace: namespace.to_owned(),
                roots: match unknown {
                    Some(why) => Err(MeshError::Missing(why.clone())),
                    None => self.published_in(form, namespace).await,
                },
            }
        });
        join_all(read).await
    }

    /// What is published in every namespace is something that sidecars trust.
    async fn until_published(
        &self,
        form: &PublishedForm,
        trusted: &BTreeSet<Roots>,
        patience: Duration,
    ) -> Result<(), MeshError> {
        let only = format!("metadata.name={}", form.config_map);
        let places = &form.places(&self.context);
        let changes = places.iter().map(|namespace| {
            let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
            wait::changes_of(maps, watcher::Config::default().fields(&only))
        });
        let changes = select_all(changes).boxed();
        let what = "what is published to be what sidecars trust";
        wait::until(what, patience, changes, || async {
            let read = places
                .iter()
                .map(|namespace| self.published_in(form, namespace));
            let all = match try_join_all(read).await {
                Ok(all) => all,
                // The next change is a reason to look again.
                Err(error) => return Ok(Err(chain(&error))),
            };
            let mut each = places.iter().zip(&all);
            Ok(match each.find(|(_, roots)| !trusted.contains(*roots)) {
                Some((namespace, _)) => Err(format!("it is something else in {namespace}")),
                None => Ok(()),
            })
        })
        .await
    }

    async fn published_in(
        &self,
        form: &PublishedForm,
        namespace: &str,
    ) -> Result<Roots, MeshError> {
        let act = || format!("read ConfigMap {namespace}/{}", form.config_map);
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let map = maps
            .get_opt(&form.config_map)
            .await
            .map_err(|source| MeshError::api(act(), source))?;
        let pem = map.and_then(|map| map.data?.remove(&form.key));
        Ok(pem.map(|pem| roots(&pem)).unwrap_or_default())
    }
}

/// The roots of a bundle, PEM. What is no certificate is left out, as readings of sidecars leave it out.
fn roots(pem: &str) -> Roots {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .filter_map(Result::ok)
        .map(|root| probe_api::content_hash(&root))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_the_set_of_its_certificates_whatever_stands_between_them() {
        let made = ["a", "b"].map(|name| {
            let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
            made.cert
        });
        let expected: Roots = made
            .iter()
            .map(|root| probe_api::content_hash(root.der()))
            .collect();
        assert_eq!(expected.len(), 2);
        let [first, second] = made.map(|root| root.pem());
        assert_eq!(roots(&format!("{first}{second}")), expected);
        assert_eq!(
            roots(&format!("# two\n{second}\n\n{first}{first}")),
            expected
        );
        let spoilt = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        assert_eq!(roots(&format!("{spoilt}{first}")).len(), 1);
        assert!(roots("").is_empty());
    }
}
