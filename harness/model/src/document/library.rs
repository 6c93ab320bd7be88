//! What the YAML library says of a text, in words for whoever wrote the text.
//!
//! Invariant: what we have no words for is told as the library tells it.

/// A part of what the library says, what we say instead, and what helps.
const SAID: &[(&str, &str, &str)] = &[
    (
        "did not find expected key",
        "a key with `:` is expected here",
        "keys that belong together begin in the same column",
    ),
    (
        "did not find expected '-' indicator",
        "an element of a list is expected here",
        "elements begin with `- `, all of them in the same column",
    ),
    (
        "mapping values are not allowed",
        "a `:` where no key can be",
        "put text with `: ` in it in quotes; keys that belong together begin in the same column",
    ),
    (
        "block sequence entries are not allowed",
        "a `- ` where no list can begin",
        "a list begins on a line of its own, below its key",
    ),
    (
        "did not find expected ',' or '}'",
        "a `,` or the closing `}` is missing",
        "a map in one line is written `{key: value, other: value}`",
    ),
    (
        "expected ',' or ']'",
        "a `,` or the closing `]` is missing",
        "a list in one line is written `[one, other]`",
    ),
    (
        "simple key expected ':'",
        "a `:` is missing behind a key",
        "write `key: value`",
    ),
    (
        "did not find expected node content",
        "a value is expected here",
        "text with `,`, `[`, `]`, `{` or `}` is put in quotes",
    ),
    (
        "tabs disallowed",
        "a tab where only spaces can be",
        "indent with spaces",
    ),
    (
        "found a tab",
        "a tab where only spaces can be",
        "indent with spaces",
    ),
    (
        "tab cannot be used as indentation",
        "a tab where only spaces can be",
        "indent with spaces",
    ),
    (
        "invalid indentation",
        "it is indented like nothing above it",
        "keys that belong together begin in the same column",
    ),
    (
        "invalid trailing content after",
        "something stands behind the closing quote",
        "put all of the text in quotes, or none of it",
    ),
    (
        "found unknown escape character",
        "a `\\` before something that it does not go with",
        "between single quotes `\\` is a letter like others",
    ),
    (
        "unexpected character",
        "text cannot begin with this letter",
        "put the text in quotes",
    ),
    (
        "unknown anchor",
        "a `*` with a name that no `&` gives",
        "text that begins with `*` is put in quotes",
    ),
    (
        "multiple YAML documents",
        "another document begins here",
        "a file has one: leave `---` out, or make two files",
    ),
    (
        "budget breached",
        "it is too large, or nested too deep",
        "nothing that meshproof reads is like that; is it the right file?",
    ),
    (
        "expected string scalar",
        "text is expected here",
        "a key is one word, and its value stands behind `: `",
    ),
];

/// What is wrong with a text, from what the library says, and a hint where there is one.
#[must_use]
pub fn in_words(said: &str) -> (String, Option<String>) {
    for (part, ours, hint) in SAID {
        if said.contains(part) {
            return ((*ours).to_owned(), Some((*hint).to_owned()));
        }
    }
    let types = said
        .strip_prefix("invalid type: ")
        .or_else(|| said.strip_prefix("invalid value: "))
        .and_then(|types| types.split_once(", expected "));
    match types {
        Some((found, expected)) => {
            let found = found_in_words(found);
            let expected = wanted(expected);
            (format!("{found} where {expected} is expected"), None)
        }
        None => (said.to_owned(), None),
    }
}

/// What serde says that it found.
fn found_in_words(found: &str) -> String {
    match found {
        "sequence" => "a list".to_owned(),
        "map" => "a map".to_owned(),
        "unit value" | "null" | "Option value" => "nothing".to_owned(),
        _ => match found.split_once('`').or_else(|| found.split_once('"')) {
            Some((_, value)) => format!("`{}`", value.trim_end_matches(['`', '"'])),
            None => found.to_owned(),
        },
    }
}

/// What should stand somewhere: serde and its derived code name types of Rust, which say nothing to whoever writes YAML.
pub(super) fn wanted(words: &str) -> String {
    let whole = |most: u64| format!("a whole number from 0 to {most}");
    match words {
        "a string" | "string" | "str" => "text".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "a list".to_owned(),
        "u8" => whole(u8::MAX.into()),
        "u16" => whole(u16::MAX.into()),
        "u32" => whole(u32::MAX.into()),
        "u64" | "usize" => "a whole number from 0 on".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        _ if words.starts_with("struct ") => "a map".to_owned(),
        _ if words.starts_with("enum ") => "a word or a map with one key".to_owned(),
        _ => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_says_is_told_in_words_for_users() {
        for (said, message) in [
            (
                "while parsing a block mapping, did not find expected key",
                "a key with `:` is expected here",
            ),
            (
                "mapping values are not allowed in this context",
                "a `:` where no key can be",
            ),
            (
                "invalid type: sequence, expected a string",
                "a list where text is expected",
            ),
            (
                "invalid type: integer `3`, expected struct Images",
                "`3` where a map is expected",
            ),
            (
                "invalid type: string \"many\", expected u32",
                "`many` where a whole number from 0 to 4294967295 is expected",
            ),
            ("unclosed bracket '['", "unclosed bracket '['"),
        ] {
            assert_eq!(in_words(said).0, message, "{said}");
        }
    }

    #[test]
    fn each_part_is_found_before_a_wider_one() {
        for (part, ours, hint) in SAID {
            let told = in_words(part);
            assert_eq!(told, ((*ours).to_owned(), Some((*hint).to_owned())));
        }
    }
}
