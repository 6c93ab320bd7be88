//! Words as HTML.

/// [`marked_up`], line by line.
pub(super) fn marked_up_all(lines: Option<Vec<String>>) -> Vec<String> {
    lines
        .unwrap_or_default()
        .iter()
        .map(|line| marked_up(line))
        .collect()
}

/// Escaped, with what stands between backticks as code.
pub(super) fn marked_up(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut in_code = false;
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '`' => {
                escaped.push_str(if in_code { "</code>" } else { "<code>" });
                in_code = !in_code;
            }
            other => escaped.push(other),
        }
    }
    if in_code {
        escaped.push_str("</code>");
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_become_code_and_nothing_else_gets_through() {
        assert_eq!(
            marked_up("apply `a<b` & `c"),
            "apply <code>a&lt;b</code> &amp; <code>c</code>"
        );
    }
}
