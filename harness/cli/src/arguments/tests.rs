//! The command line is consistent, and what documents show of it can be typed.

use super::*;
use clap::CommandFactory as _;

/// Documents that show commands.
const DOCUMENTS: [(&str, &str); 4] = [
    ("README.md", include_str!("../../../../README.md")),
    ("ci/README.md", include_str!("../../../../ci/README.md")),
    (
        "ci/examples/github-actions.yml",
        include_str!("../../../../ci/examples/github-actions.yml"),
    ),
    (
        "ci/examples/gitlab-ci.yml",
        include_str!("../../../../ci/examples/gitlab-ci.yml"),
    ),
];

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_that_a_document_shows_can_be_typed() {
    let mut wrong = Vec::new();
    for (document, text) in DOCUMENTS {
        let commands: Vec<String> = scripts(document, text).filter_map(command).collect();
        assert!(
            !commands.is_empty() || document == "ci/README.md",
            "{document}"
        );
        for command in commands {
            let words = command.split_whitespace();
            if let Err(error) = Arguments::try_parse_from(words)
                && error.exit_code() != 0
            {
                wrong.push(format!("{document}: {command}: {error}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The lines of a document that are commands: in Markdown those of its shell blocks.
fn scripts<'a>(document: &str, text: &'a str) -> impl Iterator<Item = &'a str> {
    let is_markdown = document.ends_with(".md");
    let mut inside = !is_markdown;
    text.lines().filter(move |line| {
        if is_markdown && line.starts_with("```") {
            inside = *line == "```sh";
        }
        inside
    })
}

/// The command of a line of a script, with the variables of CI services filled in.
fn command(line: &str) -> Option<String> {
    let line = line.trim().trim_start_matches("- ");
    if !line.starts_with("meshproof ") {
        return None;
    }
    let line = line
        .replace("${{ matrix.shard }}", "1")
        .replace("$CI_NODE_INDEX", "1")
        .replace("$CI_NODE_TOTAL", "2");
    let end = [" > ", " #", " | "]
        .iter()
        .filter_map(|mark| line.find(mark))
        .min()
        .unwrap_or(line.len());
    Some(line[..end].to_owned())
}
