//! What a mesh definition must hold beyond its form: names that name something, templates that are templates.

mod claims;

use super::{Sections, VERSION};
use crate::error::Defect;
use crate::template;
use harness_model::capability::Capability;
use harness_model::causes::chain;
use harness_model::configuration::Rule;
use harness_model::scenario::CANARY_APPLICATION;
use std::collections::BTreeMap;
use std::path::Path;

/// A defect without words at the first line that holds all of `words`, else of the whole file.
pub(super) fn at(source: &Path, text: &str, words: &[&str]) -> Defect {
    let line = text.lines().position(|line| {
        let code = line.split(" #").next().unwrap_or(line);
        !code.trim_start().starts_with('#') && words.iter().all(|word| code.contains(word))
    });
    let column = line
        .and_then(|line| text.lines().nth(line))
        .and_then(|line| line.find(words.first().copied().unwrap_or_default()));
    Defect {
        file: source.to_path_buf(),
        line: line.map_or(0, |line| line as u64 + 1),
        column: column.map_or(0, |column| column as u64 + 1),
        field: String::new(),
        message: String::new(),
        hint: None,
    }
}

/// Adds every defect of the sections that could be read.
pub(super) fn all(
    sections: &Sections,
    source: &Path,
    text: &str,
    files: &BTreeMap<String, String>,
    defects: &mut Vec<Defect>,
) {
    let mut found = Checker {
        source,
        text,
        defects,
    };
    found.version(sections);
    found.choices(sections);
    found.numbers(sections);
    found.templates(sections, files);
    found.control_plane(sections);
    found.workloads(sections);
    found.configuration(sections);
    found.capabilities(sections);
}

struct Checker<'a> {
    source: &'a Path,
    text: &'a str,
    defects: &'a mut Vec<Defect>,
}

impl Checker<'_> {
    fn add(&mut self, words: &[&str], field: &str, message: String, hint: Option<&str>) {
        self.defects.push(Defect {
            field: field.to_owned(),
            message,
            hint: hint.map(str::to_owned),
            ..at(self.source, self.text, words)
        });
    }

    fn version(&mut self, sections: &Sections) {
        if let Some(version) = sections.version.filter(|version| *version != VERSION) {
            self.add(
                &["version:"],
                "version",
                format!("{version} is not a version that this meshproof reads"),
                Some("this meshproof reads version 1"),
            );
        }
    }

    fn choices(&mut self, sections: &Sections) {
        for (name, choices) in sections.choices.iter().flatten() {
            self.variable(sections, "choices", name, |value| {
                let is_none = choices.iter().all(|one| one != value);
                is_none.then(|| "none of its choices".to_owned())
            });
        }
    }

    fn numbers(&mut self, sections: &Sections) {
        for (name, form) in sections.numbers.iter().flatten() {
            self.variable(sections, "numbers", name, |value| {
                (!form.accepts(value)).then(|| format!("not {form}"))
            });
        }
    }

    /// A variable that a section speaks of has a value; `wrong` tells what such a value is that it cannot have.
    fn variable(
        &mut self,
        sections: &Sections,
        section: &str,
        name: &str,
        wrong: impl FnOnce(&str) -> Option<String>,
    ) {
        let variables = sections.variables.as_ref();
        let Some(value) = variables.and_then(|variables| variables.get(name)) else {
            self.add(
                &[name],
                section,
                format!("there is no variable `{name}`"),
                Some("give it a value in `variables`"),
            );
            return;
        };
        if let Some(wrong) = wrong(value) {
            self.add(
                &[name, value.as_str()],
                "variables",
                format!("`{name}` is `{value}`, which is {wrong}"),
                None,
            );
        }
    }

    fn templates(&mut self, sections: &Sections, files: &BTreeMap<String, String>) {
        for (name, content) in files {
            if let Err(error) = template::check(name, content) {
                self.defects.push(Defect {
                    file: self.source.with_file_name(name),
                    line: error.line().unwrap_or_default() as u64,
                    column: 0,
                    field: String::new(),
                    message: chain(&error),
                    hint: None,
                });
            }
        }
        if let Some(workloads) = &sections.workloads {
            let shorts = [
                ("workloads.deployment", Some(&workloads.deployment)),
                ("workloads.serviceUrl", Some(&workloads.service_url)),
                ("workloads.identity", workloads.identity.as_ref()),
            ];
            let there = shorts
                .into_iter()
                .filter_map(|(field, text)| Some((field, text?)));
            for (field, text) in there {
                if let Err(error) = template::check(field, text) {
                    let key = field.rsplit('.').next().unwrap_or(field);
                    self.add(&[key], field, chain(&error), None);
                }
            }
        }
        let state = sections.state.as_ref();
        if let Some(text) = state.and_then(|state| state.services.as_ref()) {
            self.services(text);
        }
    }

    /// By what clusters are known to lead to a service.
    fn services(&mut self, text: &str) {
        let field = "state.services";
        if let Err(error) = template::check(field, text) {
            self.add(&["services:", text], field, chain(&error), None);
        } else if !text.contains("service") {
            self.add(
                &["services:", text],
                field,
                "does not use `service`, so every cluster would lead to each".to_owned(),
                Some("for example \"{{ service }}.shop:\""),
            );
        }
    }

    fn control_plane(&mut self, sections: &Sections) {
        let Some(control_plane) = &sections.control_plane else {
            return;
        };
        let mut components = vec![("controlPlane.component", &control_plane.component)];
        for mutants in &control_plane.mutants {
            components.push(("controlPlane.mutants.component", &mutants.component));
            components.push(("controlPlane.mutants.replaces", &mutants.replaces));
        }
        for (field, component) in components {
            let known = sections
                .images
                .as_ref()
                .is_none_or(|images| images.contains_key(component));
            if !known {
                self.add(
                    &[":", component],
                    field,
                    format!("`{component}` is no component of `images`"),
                    Some("add it to `images` or name one that is there"),
                );
            }
        }
        if control_plane.selector.is_empty() {
            self.add(
                &["selector:"],
                "controlPlane.selector",
                "selects every pod".to_owned(),
                Some("name at least one label"),
            );
        }
        for file in &control_plane.files {
            let applied = sections
                .manifests
                .iter()
                .flatten()
                .any(|group| group.files.contains(file));
            if sections.manifests.is_some() && !applied {
                self.add(
                    &[file],
                    "controlPlane.files",
                    format!("`{file}` is not among `manifests`"),
                    Some("a mutant replaces files that were applied before"),
                );
            }
        }
    }

    fn workloads(&mut self, sections: &Sections) {
        let Some(workloads) = &sections.workloads else {
            return;
        };
        if workloads.applications.is_empty() {
            self.add(
                &["applications:"],
                "workloads.applications",
                "is empty, so no scenario could name a workload".to_owned(),
                None,
            );
        }
        for word in ["application", "dataCenter"] {
            if !workloads.deployment.contains(word) {
                self.add(
                    &["deployment:", &workloads.deployment],
                    "workloads.deployment",
                    format!("does not use `{word}`, so workloads would share a Deployment"),
                    Some("for example \"{{ application }}-{{ dataCenter }}\""),
                );
            }
        }
        if let Some(canary) = &workloads.canary
            && canary.application != CANARY_APPLICATION
        {
            self.add(
                &["application:", &canary.application],
                "workloads.canary.application",
                format!("is `{}`", canary.application),
                Some("call it `canary`: that is how scopes and histories tell extra recipients"),
            );
        }
        if let Some(canary) = &workloads.canary
            && workloads.applications.contains(&canary.application)
        {
            self.add(
                &["application:", &canary.application],
                "workloads.canary.application",
                format!("`{}` is also among `applications`", canary.application),
                Some("extra recipients must not be workloads that scenarios name"),
            );
        }
    }

    fn configuration(&mut self, sections: &Sections) {
        let Some(configuration) = &sections.configuration else {
            return;
        };
        if let Err(error) = serde_json::from_value::<Rule>(configuration.marker_rule.clone()) {
            self.add(
                &["markerRule:"],
                "configuration.markerRule",
                format!("is not a rule: {error}"),
                Some("a rule has `service`, `to` and optionally `pathPrefix`, `pathRegex`, `headers`"),
            );
        }
        if configuration.objects.is_empty() {
            self.add(
                &["objects:"],
                "configuration.objects",
                "is empty, so nothing could be written".to_owned(),
                None,
            );
        }
        for form in &configuration.objects {
            if !form.api_version.contains('/') {
                self.add(
                    &["apiVersion:", &form.api_version],
                    "configuration.objects.apiVersion",
                    format!("`{}` has no group", form.api_version),
                    Some("for example mesh.meshproof.io/v1alpha1"),
                );
            }
        }
        let Some(status) = &configuration.status else {
            return;
        };
        if !configuration
            .objects
            .iter()
            .any(|form| form.kind == status.kind)
        {
            self.add(
                &["kind:", &status.kind],
                "configuration.status.kind",
                format!("`{}` is none of `configuration.objects`", status.kind),
                None,
            );
        }
        let pointers = [
            ("observedGeneration", &status.observed_generation),
            ("matched", &status.matched),
            ("delivered", &status.delivered),
            ("acknowledged", &status.acknowledged),
            ("rejected", &status.rejected),
        ];
        for (field, pointer) in pointers {
            if !pointer.starts_with('/') {
                self.add(
                    &[&format!("{field}:"), pointer],
                    &format!("configuration.status.{field}"),
                    format!("`{pointer}` is no JSON pointer"),
                    Some("for example /status/matched"),
                );
            }
        }
    }

    fn capabilities(&mut self, sections: &Sections) {
        self.tls(sections);
        self.rotation(sections);
        self.partner_roots(sections);
        self.published(sections);
        self.identity(sections);
        self.private_socket(sections);
        self.key_service(sections);
        self.audit(sections);
        self.clients(sections);
        self.refusals(sections);
        self.handshake(sections);
        self.protocols(sections);
        let claimed = sections
            .capabilities
            .as_ref()
            .is_some_and(|capabilities| capabilities.contains(&Capability::DeliveryStatus));
        let told = sections
            .configuration
            .as_ref()
            .is_none_or(|configuration| configuration.status.is_some());
        if claimed && !told {
            self.add(
                &["delivery-status"],
                "capabilities",
                "`delivery-status` is claimed, but `configuration.status` is missing".to_owned(),
                None,
            );
        }
    }
}
