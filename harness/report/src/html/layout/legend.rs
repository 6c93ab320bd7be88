//! Which colour and letter stand for which content.

use crate::timeline::SEPARATOR;

/// What a colour and letter mean.
pub(in crate::html) struct Legend {
    pub(in crate::html) class: String,
    pub(in crate::html) letter: String,
    pub(in crate::html) words: String,
    /// The words, cut short where they are many.
    pub(in crate::html) short: String,
}

/// How many colours the style sheet has before they repeat.
const COLOURS: usize = 7;
/// How many parts of a content the legend tells.
const LEGEND_PARTS: usize = 4;

/// What a content is called.
pub(in crate::html) fn shown(words: &str) -> &str {
    if words.is_empty() { "nothing" } else { words }
}

/// One entry for each content, with the colour and letter that segments carry.
pub(in crate::html) fn legend(contents: &[String]) -> Vec<Legend> {
    let mut number = 0;
    contents
        .iter()
        .map(|words| {
            if words.is_empty() {
                return Legend {
                    class: "none".to_owned(),
                    letter: String::new(),
                    words: shown(words).to_owned(),
                    short: shown(words).to_owned(),
                };
            }
            number += 1;
            Legend {
                class: format!("r{}", (number - 1) % COLOURS + 1),
                letter: letter(number - 1),
                words: words.clone(),
                short: in_short(words),
            }
        })
        .collect()
}

/// The first parts, and how many more there are.
fn in_short(words: &str) -> String {
    let parts: Vec<&str> = words.split(SEPARATOR).collect();
    if parts.len() <= LEGEND_PARTS {
        return words.to_owned();
    }
    format!(
        "{} and {} more",
        parts[..LEGEND_PARTS].join(SEPARATOR),
        parts.len() - LEGEND_PARTS
    )
}

/// A, B, ... Z, A2, B2, ...
fn letter(index: usize) -> String {
    let base = char::from(b'A' + u8::try_from(index % 26).unwrap_or(0));
    match index / 26 {
        0 => base.to_string(),
        round => format!("{base}{}", round + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_do_not_run_out() {
        assert_eq!(
            (letter(0), letter(25), letter(26)),
            ("A".into(), "Z".into(), "A2".into())
        );
    }
}
