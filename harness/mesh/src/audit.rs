//! The audit log of what keeps the keys that sign certificates: lines in the logs of its pods.
//!
//! Invariant: a log of which not enough was read is never taken for one that says nothing.

use crate::definition::AuditForm;
use crate::error::MeshError;
use crate::mesh::Mesh;
use crate::site::Site;
use futures::future::try_join_all;
use futures::io::{AsyncBufRead, AsyncBufReadExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};
use harness_cluster::PodAddress;
use harness_model::asking::AuditOutcome;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use std::io;
use std::pin::pin;
use std::time::Duration;

/// How far the audit log of one cluster had come.
pub struct AuditMark {
    cluster: String,
    /// The last line of each pod's log, with its time.
    ends: Vec<(PodAddress, String)>,
}

impl Mesh {
    /// How far the audit log has come in a cluster. Each log must tell that within `patience`.
    ///
    /// # Errors
    ///
    /// When the mesh does not say where it is, nobody writes it, or a log cannot be read or has nothing in it.
    pub async fn audit_mark(
        &self,
        cluster: &str,
        patience: Duration,
    ) -> Result<AuditMark, MeshError> {
        let (component, form) = self.audit_form()?;
        let site = self.site_of(cluster)?;
        let pods = self.pods_of(component).await?.into_iter();
        let pods = pods.filter_map(|(pod, _)| (pod.cluster == cluster).then_some(pod));
        let ends = pods.map(|pod| site.end_of_log(pod, form, patience));
        let ends = try_join_all(ends).await?;
        if ends.is_empty() {
            let missing = format!("read an audit log: {component} has no pod");
            return Err(MeshError::Missing(missing));
        }
        Ok(AuditMark {
            cluster: cluster.to_owned(),
            ends,
        })
    }

    /// The first entry behind the mark with this outcome; none where none came within `patience`, which takes as long again at most
    /// to be sure of.
    ///
    /// # Errors
    ///
    /// When there was none, and a log could not be read, ended, or was not told as far as it was before.
    pub async fn audit_entry(
        &self,
        mark: &AuditMark,
        outcome: AuditOutcome,
        patience: Duration,
    ) -> Result<Option<String>, MeshError> {
        let (_, form) = self.audit_form()?;
        let site = self.site_of(&mark.cluster)?;
        let looks = mark.ends.iter();
        let looks = looks.map(|(pod, end)| site.entry_behind(pod, end, form, outcome, patience));
        let mut looks: FuturesUnordered<_> = looks.collect();
        let mut failed = None;
        while let Some(looked) = looks.next().await {
            match looked {
                Ok(Some(entry)) => return Ok(Some(entry)),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Whose log it is, and how its lines are known.
    fn audit_form(&self) -> Result<(&str, &AuditForm), MeshError> {
        let form = self.definition.identity.as_ref();
        let keys = form.and_then(|form| form.key_service.as_ref());
        let told = keys.and_then(|keys| Some((keys.component.as_str(), keys.audit.as_ref()?)));
        told.ok_or_else(|| {
            let missing = "read an audit log: the mesh does not say where it is";
            MeshError::Missing(missing.to_owned())
        })
    }
}

impl Site {
    /// The pod, and the last line of its log.
    async fn end_of_log(
        &self,
        pod: PodAddress,
        form: &AuditForm,
        patience: Duration,
    ) -> Result<(PodAddress, String), MeshError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let parameters = LogParams {
            tail_lines: Some(1),
            ..parameters(form)
        };
        let missing = |what: &str| MeshError::Missing(format!("{}: {what}", act(&pod)));
        let read = tokio::time::timeout(patience, pods.logs(&pod.name, &parameters)).await;
        let text = read
            .map_err(|_| missing("it does not come"))?
            .map_err(|source| MeshError::api(act(&pod), source))?;
        let end = text.lines().next_back().map(str::to_owned);
        let end = end.ok_or_else(|| missing("nothing is in it"))?;
        Ok((pod, end))
    }

    /// An entry in the log of a pod behind the line that was its last.
    async fn entry_behind(
        &self,
        pod: &PodAddress,
        end: &str,
        form: &AuditForm,
        outcome: AuditOutcome,
        patience: Duration,
    ) -> Result<Option<String>, MeshError> {
        let whole = parameters(form);
        let followed = LogParams {
            follow: true,
            ..whole.clone()
        };
        let search = || Search::new(end, form, outcome);
        let followed = self.look_through(pod, &followed, search());
        let whole = self.look_through(pod, &whole, search());
        decide(followed, whole, patience, |what| {
            MeshError::Missing(format!("{}: {what}", act(pod)))
        })
        .await
    }

    /// Looks for an entry in the log of a pod, up to its end.
    async fn look_through(
        &self,
        pod: &PodAddress,
        parameters: &LogParams,
        search: Search<'_>,
    ) -> Result<Found, MeshError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let log = pods.log_stream(&pod.name, parameters).await;
        let log = log.map_err(|source| MeshError::api(act(pod), source))?;
        let found = search.through(log).await;
        found.map_err(|error| MeshError::Missing(format!("{}: {error}", act(pod))))
    }
}

/// What is found while a log is followed, or else in the whole of it after `patience`, for which that is the bound, too: that a
/// log which is followed tells nothing more does not show that there is nothing more.
async fn decide(
    followed: impl Future<Output = Result<Found, MeshError>>,
    whole: impl Future<Output = Result<Found, MeshError>>,
    patience: Duration,
    missing: impl Fn(&str) -> MeshError,
) -> Result<Option<String>, MeshError> {
    if let Ok(found) = tokio::time::timeout(patience, followed).await {
        return match found? {
            Found::Entry(entry) => Ok(Some(entry)),
            Found::Nothing | Found::NotEnough => Err(missing("it has ended")),
        };
    }
    let found = tokio::time::timeout(patience, whole).await;
    match found.map_err(|_| missing("it is not told to its end"))?? {
        Found::Entry(entry) => Ok(Some(entry)),
        Found::Nothing => Ok(None),
        Found::NotEnough => Err(missing("it is not told as far as it was before")),
    }
}

/// What a log has that was read to its end, or to an entry.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// An entry that counts.
    Entry(String),
    /// The mark, and no entry behind it.
    Nothing,
    /// Not even the mark.
    NotEnough,
}

fn act(pod: &PodAddress) -> String {
    format!("read the log of pod {}/{}", pod.namespace, pod.name)
}

/// Every line with its time, which tells it from others that say the same.
fn parameters(form: &AuditForm) -> LogParams {
    LogParams {
        container: form.container.clone(),
        timestamps: true,
        ..LogParams::default()
    }
}

/// Looks for an entry line by line.
struct Search<'a> {
    /// The line behind which one counts.
    end: &'a str,
    /// All of them are in an entry.
    texts: &'a [String],
    is_behind: bool,
}

impl<'a> Search<'a> {
    fn new(end: &'a str, form: &'a AuditForm, outcome: AuditOutcome) -> Self {
        let texts = match outcome {
            AuditOutcome::Served => &form.served,
            AuditOutcome::Refused => &form.refused,
        };
        Self {
            end,
            texts,
            is_behind: false,
        }
    }

    /// Reads a log to an entry that counts, or to its end.
    async fn through(mut self, log: impl AsyncBufRead) -> io::Result<Found> {
        let mut lines = pin!(log.lines());
        while let Some(line) = lines.next().await {
            if let Some(entry) = self.entry(&line?) {
                return Ok(Found::Entry(entry));
            }
        }
        Ok(if self.is_behind {
            Found::Nothing
        } else {
            Found::NotEnough
        })
    }

    /// The entry, without its time, if this line is one that counts.
    fn entry(&mut self, line: &str) -> Option<String> {
        if !self.is_behind {
            self.is_behind = line == self.end;
            return None;
        }
        let (_, text) = line.split_once(' ')?;
        let mut texts = self.texts.iter();
        let has_all = texts.all(|wanted| text.contains(wanted.as_str()));
        has_all.then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MeshDefinition;
    use futures::FutureExt as _;
    use futures::io::Cursor;

    const SERVED: &str = "2026-01-02T03:04:05.000006Z  INFO audit: call caller=\"certificate-authority.mesh-system.svc\" method=\"Sign\" key=\"intermediate\" version=1 outcome=\"ok\"";
    const LISTED: &str = "2026-01-02T03:04:05.000007Z  INFO audit: call caller=\"certificate-authority.mesh-system.svc\" method=\"ListKeys\" key=\"\" version=0 outcome=\"ok\"";
    const REFUSED: &str = "2026-01-02T03:04:05.000008Z  INFO audit: call caller=\"certificate-authority.mesh-system.svc\" method=\"Sign\" key=\"intermediate\" version=1 outcome=\"`certificate-authority.mesh-system.svc` is not in the list of clients\"";

    #[test]
    fn only_what_is_behind_the_mark_and_says_all_of_it_is_an_entry() {
        let definition = MeshDefinition::load("reference").unwrap();
        let keys = definition.identity.unwrap().key_service.unwrap();
        let form = keys.audit.unwrap();
        let end = format!("2026-01-02T03:04:06Z {SERVED}");
        let found = |outcome, lines: &[String]| {
            let log = Cursor::new(lines.join("\n"));
            let read = Search::new(&end, &form, outcome).through(log);
            read.now_or_never().expect("all of it is there").unwrap()
        };
        let at = |second: u8, text: &str| format!("2026-01-02T03:04:0{second}Z {text}");
        let before = at(5, SERVED);
        for (outcome, after, entry) in [
            (AuditOutcome::Served, SERVED, Some(SERVED)),
            (AuditOutcome::Served, LISTED, None),
            (AuditOutcome::Served, REFUSED, None),
            (AuditOutcome::Refused, SERVED, None),
            (AuditOutcome::Refused, REFUSED, Some(REFUSED)),
        ] {
            let lines = [before.clone(), end.clone(), at(7, LISTED), at(7, after)];
            let expected = entry.map_or(Found::Nothing, |entry| Found::Entry(entry.to_owned()));
            assert_eq!(found(outcome, &lines), expected, "{after}");
        }
        // Nobody knows what else there is.
        let not_far_enough = found(AuditOutcome::Served, &[before]);
        assert_eq!(not_far_enough, Found::NotEnough);
    }
    #[tokio::test(start_paused = true)]
    async fn that_nothing_was_written_down_takes_all_of_the_log() {
        let patience = Duration::from_secs(5);
        let entry = || Some(Found::Entry("signed".to_owned()));
        for (followed, whole, expected) in [
            (entry(), None, Ok(Some("signed"))),
            (
                Some(Found::Nothing),
                Some(Found::Nothing),
                Err("it has ended"),
            ),
            (None, entry(), Ok(Some("signed"))),
            (None, Some(Found::Nothing), Ok(None)),
            (
                None,
                Some(Found::NotEnough),
                Err("it is not told as far as it was before"),
            ),
            (None, None, Err("it is not told to its end")),
        ] {
            let decided = decide(read(followed), read(whole), patience, |what| {
                MeshError::Missing(what.to_owned())
            });
            let decided = decided.await.map_err(|error| match error {
                MeshError::Missing(what) => what,
                other => panic!("{other}"),
            });
            let expected = expected.map(|entry| entry.map(str::to_owned));
            assert_eq!(decided, expected.map_err(str::to_owned));
        }
    }

    /// What comes of reading a log; none where that never ends.
    async fn read(found: Option<Found>) -> Result<Found, MeshError> {
        match found {
            Some(found) => Ok(found),
            None => std::future::pending().await,
        }
    }
}
