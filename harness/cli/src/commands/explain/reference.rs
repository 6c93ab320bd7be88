//! The reference for those who write scenarios and topologies: every word of the two file forms with what it means.
//!
//! Invariant: nothing is written here twice. All of it comes from the JSON Schemas, which are derived from the types.

use harness_model::scenario::file;
use harness_model::topology;
use serde_json::Value;
use std::collections::BTreeSet;

/// The whole reference.
pub(super) fn page() -> String {
    let mut page = String::new();
    for (title, schema) in [
        ("A scenario file", file::schema()),
        ("A topology file", topology::schema()),
    ] {
        let mut told = BTreeSet::new();
        heading(&mut page, title);
        tell(&mut page, &schema);
        let mut next: Vec<String> = mentioned(&schema);
        while !next.is_empty() {
            let name = next.remove(0);
            let definition = &schema["$defs"][&name];
            if told.insert(name.clone()) && !definition.is_null() {
                heading(&mut page, &in_words(&name));
                tell(&mut page, definition);
                next.extend(mentioned(definition));
            }
        }
    }
    page
}

fn heading(page: &mut String, title: &str) {
    if !page.is_empty() {
        page.push('\n');
    }
    page.push_str(&format!("{title}\n{}\n", "-".repeat(title.len())));
}

/// What a definition means, and its fields or words.
fn tell(page: &mut String, definition: &Value) {
    let meaning = meaning(definition);
    if !meaning.is_empty() {
        page.push_str(&format!("{meaning}\n"));
    }
    for variant in definition["oneOf"].as_array().into_iter().flatten() {
        self::variant(page, variant);
    }
    fields(page, definition, "  ");
}

/// One word of several: alone, or as the key of what belongs to it.
fn variant(page: &mut String, variant: &Value) {
    let alone = variant["enum"].as_array().into_iter().flatten();
    for word in alone.chain(variant.get("const")).filter_map(Value::as_str) {
        line(page, "  ", word, "", &meaning(variant));
    }
    for (word, content) in variant["properties"].as_object().into_iter().flatten() {
        let kind = if content["properties"].is_object() {
            String::new()
        } else {
            kind(content)
        };
        line(page, "  ", word, &kind, &meaning(variant));
        fields(page, content, "      ");
    }
}

fn fields(page: &mut String, definition: &Value, indent: &str) {
    let required: Vec<&str> = definition["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (name, field) in definition["properties"].as_object().into_iter().flatten() {
        let mut kind = kind(field);
        if !required.contains(&name.as_str()) {
            kind.push_str(", may be left out");
        }
        line(page, indent, name, &kind, &meaning(field));
    }
}

fn line(page: &mut String, indent: &str, word: &str, kind: &str, meaning: &str) {
    page.push_str(indent);
    page.push_str(word);
    if !kind.is_empty() {
        page.push_str(&format!(" ({kind})"));
    }
    if !meaning.is_empty() {
        page.push_str(&format!(": {meaning}"));
    }
    page.push('\n');
}

/// What may stand there: `text`, `list of act`, ...
fn kind(field: &Value) -> String {
    if let Some(name) = definition_of(field) {
        return in_words(name);
    }
    // `null` stands for a field that is left out.
    let one_of = field["anyOf"].as_array().into_iter().flatten();
    if let Some(kind) = one_of.filter(|one| one["type"] != "null").map(kind).next() {
        return kind;
    }
    let types = match &field["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one.as_str()],
        _ => Vec::new(),
    };
    match types.iter().find(|one| **one != "null") {
        Some(&"array") => format!("list of {}", kind(&field["items"])),
        Some(&"object") => format!(
            "map from a name to {}",
            kind(&field["additionalProperties"])
        ),
        Some(&"integer") => "whole number".to_owned(),
        Some(&"string") => "text".to_owned(),
        Some(other) => (*other).to_owned(),
        None => "anything".to_owned(),
    }
}

fn definition_of(field: &Value) -> Option<&str> {
    field["$ref"].as_str()?.strip_prefix("#/$defs/")
}

/// The definitions that a schema names, in its order.
fn mentioned(schema: &Value) -> Vec<String> {
    let mut names: Vec<String> = definition_of(schema)
        .map(str::to_owned)
        .into_iter()
        .collect();
    match schema {
        Value::Object(map) => {
            let parts = map.iter().filter(|(key, _)| *key != "$defs");
            names.extend(parts.flat_map(|(_, part)| mentioned(part)));
        }
        Value::Array(list) => names.extend(list.iter().flat_map(mentioned)),
        _ => {}
    }
    names
}

/// The first paragraph of a description, with the names of our code as plain words.
fn meaning(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<String> = first.split_whitespace().map(plain).collect();
    words.join(" ")
}

/// ``[`crate::patience::Patience::delivery`]`` → `delivery`.
fn plain(word: &str) -> String {
    let Some((before, rest)) = word.split_once("[`") else {
        return word.to_owned();
    };
    match rest.split_once("`]") {
        Some((path, after)) => {
            let name = path.rsplit("::").next().unwrap_or(path);
            format!("{before}`{name}`{after}")
        }
        None => word.to_owned(),
    }
}

/// `ScopeEntry` → `scope entry`.
fn in_words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_file_forms_is_told_with_its_meaning() {
        let page = page();
        for line in [
            "  apply (configuration): Creates or replaces a configuration.",
            "  reconnect: Makes every sidecar leave",
            "      application (text): Application.",
            "  confined: After every step no sidecar shows anything",
            "      within (duration): The mesh's duty to have moved the traffic.",
            "  match (list of scope entry): Matches when one entry matches.",
            "  dataCenter (text, may be left out): Data center (zone).",
            "  dataCenters (list of data center): Its data centers, at least one.",
            "  gate: Before each merge.",
        ] {
            assert!(page.contains(line), "{line} is missing in:\n{page}");
        }
        assert!(
            !page.contains("[`") && !page.contains("anything)") && !page.contains("(Self::"),
            "{page}"
        );
    }
}
