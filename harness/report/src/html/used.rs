//! What the mesh has used, as a table whose lines open without scripts.

use crate::usage::{self, Line, Part};
use harness_model::usage::Usage;

/// The section.
pub(super) struct Used {
    /// How long was looked.
    pub(super) time: String,
    /// What there are no figures of.
    pub(super) notes: Vec<String>,
    /// The sum, where there is anything.
    pub(super) all: Option<Line>,
    /// By part of the mesh.
    pub(super) parts: Vec<Part>,
}

/// None where there is nothing to say.
pub(super) fn view(usage: &Usage) -> Option<Used> {
    let notes = usage::notes(usage);
    let (all, parts) = usage::table(usage);
    let used = Used {
        time: usage::looked(usage),
        all: (!parts.is_empty()).then_some(all),
        parts,
        notes,
    };
    (used.all.is_some() || !used.notes.is_empty()).then_some(used)
}

#[cfg(test)]
mod tests {
    use crate::html::render;

    #[test]
    fn parts_open_to_kinds_and_those_to_containers() {
        let page = render(&crate::fixture::record(), 1).expect("it has a page");
        let section = page.find("What the mesh used").expect("it has the section");
        let section = &page[section..];
        let at = |text: &str| section.find(text).unwrap_or_else(|| panic!("{text}"));
        assert!(at(">control-plane<") < at(">sidecar<") && at(">sidecar<") < at(">probe<"));
        assert!(
            at(">frontend<") < at(">checkout<"),
            "who used most is first"
        );
        assert!(section.contains("frontend-zone-b-5d8f7"));
        assert!(section.contains("control-plane-1 <span class=\"gone\">gone</span>"));
    }

    #[test]
    fn without_figures_there_is_no_section_and_a_reason_is_told() {
        let mut record = crate::fixture::record();
        record.usage = Some(harness_model::usage::Usage::default());
        let page = render(&record, 1).expect("it has a page");
        assert!(!page.contains("What the mesh used"));
        let why = "cluster one: the right to get nodes/proxy is missing";
        record.usage.get_or_insert_default().not_told = vec![why.to_owned()];
        let page = render(&record, 1).expect("it has a page");
        assert!(page.contains("What the mesh used") && page.contains(why));
        record.usage = None;
        let page = render(&record, 1).expect("it has a page");
        assert!(!page.contains("What the mesh used"));
    }
}
