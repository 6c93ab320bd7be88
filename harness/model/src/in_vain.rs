//! What steps waited for in vain, as it is told of a scenario that did not pass.
//!
//! Invariant: it is only told. No checker asks for it, and nothing here judges.

use crate::checker::clock;
use crate::history::{Event, EventKind, XdsForm};
use crate::patience::Whose;
use crate::scenario::Scenario;
use crate::words;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Stands in a history between what was waited for and who lacked it.
const MISSING: &str = "; missing: ";

/// Stands there between one who lacked it and the next.
const NEXT: &str = "; ";

/// How many sidecars of which the same is said are named before the rest is counted.
const SHOWN_ALIKE: usize = 6;

/// How many things are said of those who lacked it before the rest is counted.
const SHOWN_KINDS: usize = 3;

/// How many characters of one text are told before the rest is counted.
const SHOWN_CHARACTERS: usize = 300;

/// A wait that ended without what it waited for: what stands in the history as `gaveUp`, in bounded length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VainWait {
    /// The step of the scenario's timeline, counted from 0; none before the first and after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// The step and its act in words, `given` or `the end`.
    pub during: String,
    /// When it ended, in nanoseconds since the start of the run.
    pub at_ns: u64,
    /// Whose bound was over.
    pub whose: Whose,
    /// What was waited for, and who lacked it.
    pub waited_for: String,
    /// Index of the event in the scenario's history, which has all of it.
    pub event: usize,
}

impl fmt::Display for VainWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (during, until) = (&self.during, clock(self.at_ns));
        write!(f, "{during}, until {until}: {}", self.waited_for)
    }
}

/// What a history says of a wait that ended while somebody still lacked what was waited for.
#[must_use]
pub fn waited_for(what: &str, missing: &[String]) -> String {
    format!("{what}{MISSING}{}", missing.join(NEXT))
}

/// The waits of a history that ended in vain, in order.
#[must_use]
pub fn of(scenario: &Scenario, events: &[Event]) -> Vec<VainWait> {
    let mut waits = Vec::new();
    let mut present = Present::default();
    let mut has_begun = false;
    for (index, event) in events.iter().enumerate() {
        match &event.kind {
            EventKind::StepStarted => has_begun = true,
            EventKind::GaveUp { waited_for, whose } => waits.push(VainWait {
                step: event.step,
                during: match event.step {
                    Some(step) => words::step(step, Some(scenario)),
                    None if has_begun => "the end".to_owned(),
                    None => "given".to_owned(),
                },
                at_ns: event.at_ns,
                whose: *whose,
                waited_for: present.told(waited_for),
                event: index,
            }),
            other => present.take(other),
        }
    }
    waits
}

/// The sidecars that are there: stable name → pod UID, and the form of xDS that it was last seen to speak.
#[derive(Default)]
struct Present<'a>(BTreeMap<&'a str, (&'a str, Option<XdsForm>)>);

/// One of those who lacked what was waited for.
struct Lacking<'a> {
    /// None where it is no sidecar that is there.
    sidecar: Option<&'a str>,
    /// What is said of it, or who it is.
    said: String,
}

impl<'a> Present<'a> {
    fn take(&mut self, kind: &'a EventKind) {
        match kind {
            EventKind::SidecarJoined { sidecar } => {
                let life = (sidecar.pod_uid.as_str(), None);
                self.0.insert(sidecar.name.as_str(), life);
            }
            EventKind::SidecarLeft { sidecar, pod_uid } => {
                let life = self.0.get(sidecar.as_str());
                // Another pod may have its name by now.
                if life.is_some_and(|(uid, _)| *uid == pod_uid.as_str()) {
                    self.0.remove(sidecar.as_str());
                }
            }
            EventKind::Observed(seen) => {
                if let Some((uid, form)) = self.0.get_mut(seen.sidecar.as_str())
                    && *uid == seen.pod_uid.as_str()
                {
                    *form = seen.stream.form.or(*form);
                }
            }
            _ => {}
        }
    }

    /// What a history says of a wait, in bounded length: sidecars of which the same is said stand together.
    fn told(&self, waited_for: &str) -> String {
        let Some((what, missing)) = waited_for.split_once(MISSING) else {
            return shortened(waited_for);
        };
        let lacking = self.lacking(missing);
        let sidecars: Vec<&str> = lacking.iter().filter_map(|one| one.sidecar).collect();
        let mut parts: Vec<String> = Vec::new();
        if !sidecars.is_empty() {
            let (some, all) = (sidecars.len(), self.0.len());
            let form = self.form_of_all(&sidecars);
            let alike = alike(&lacking);
            parts.push(format!("{some} of {all} sidecars{form} ({alike})"));
        }
        let others = lacking.iter().filter(|one| one.sidecar.is_none());
        let others: Vec<String> = others.map(|one| shortened(&one.said)).collect();
        let more = others.len().saturating_sub(SHOWN_KINDS);
        parts.extend(others.into_iter().take(SHOWN_KINDS));
        if more > 0 {
            parts.push(format!("and {more} more"));
        }
        format!("{}{MISSING}{}", shortened(what), parts.join(NEXT))
    }

    fn lacking<'t>(&self, missing: &'t str) -> Vec<Lacking<'t>> {
        let mut all: Vec<Lacking<'t>> = Vec::new();
        for piece in missing.split(NEXT) {
            let (name, said) = piece.split_once(": ").unwrap_or((piece, ""));
            if self.0.contains_key(name) {
                all.push(Lacking {
                    sidecar: Some(name),
                    said: said.to_owned(),
                });
            } else if let Some(before) = all.last_mut()
                && !is_name_of_a_sidecar(name)
                && before.sidecar.is_some()
                && !before.said.is_empty()
            {
                // What is said of one sidecar may have the mark in it that stands before the next.
                before.said.push_str(NEXT);
                before.said.push_str(piece);
            } else {
                all.push(Lacking {
                    sidecar: None,
                    said: piece.to_owned(),
                });
            }
        }
        all
    }

    /// `, all over delta`, where all of several were last seen to speak that and somebody else was not; else nothing.
    fn form_of_all(&self, sidecars: &[&str]) -> String {
        let first = sidecars.first().and_then(|name| self.form(name));
        let Some(form) = first.filter(|_| sidecars.len() > 1) else {
            return String::new();
        };
        let is_of_all = sidecars.iter().all(|name| self.form(name) == Some(form));
        let mut forms = self.0.values().filter_map(|(_, form)| *form);
        if is_of_all && forms.any(|other| other != form) {
            format!(", all over {}", form.name())
        } else {
            String::new()
        }
    }

    fn form(&self, sidecar: &str) -> Option<XdsForm> {
        let (_, form) = self.0.get(sidecar)?;
        *form
    }
}

/// `frontend@zone1`, also of one that is no longer there.
fn is_name_of_a_sidecar(name: &str) -> bool {
    name.contains('@') && !name.contains(char::is_whitespace)
}

/// `a, b: not read yet; c: still has an endpoint of them`.
fn alike(lacking: &[Lacking<'_>]) -> String {
    let mut kinds: Vec<(&str, Vec<&str>)> = Vec::new();
    for one in lacking {
        let Some(sidecar) = one.sidecar else {
            continue;
        };
        match kinds.iter_mut().find(|(said, _)| *said == one.said) {
            Some((_, sidecars)) => sidecars.push(sidecar),
            None => kinds.push((one.said.as_str(), vec![sidecar])),
        }
    }
    let (shown, others) = kinds.split_at(kinds.len().min(SHOWN_KINDS));
    let mut texts: Vec<String> = Vec::new();
    for (said, sidecars) in shown {
        let who = first_of(sidecars);
        texts.push(match *said {
            "" => who,
            said => format!("{who}: {}", shortened(said)),
        });
    }
    let more: usize = others.iter().map(|(_, sidecars)| sidecars.len()).sum();
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    texts.join(NEXT)
}

/// The first few names, and how many more there are.
fn first_of(names: &[&str]) -> String {
    let (shown, others) = names.split_at(names.len().min(SHOWN_ALIKE));
    let shown = shown.join(", ");
    match others.len() {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A text on one line, and of a long one its beginning.
fn shortened(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.chars().count().saturating_sub(SHOWN_CHARACTERS) {
        0 => line,
        more => {
            let shown: String = line.chars().take(SHOWN_CHARACTERS).collect();
            format!("{shown}... and {more} characters more")
        }
    }
}
