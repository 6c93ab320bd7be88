//! Values of options that are more than a word.

use super::Wait;
use clap::ValueEnum as _;
use harness_model::duration::Span;
use harness_report::record::Shard;

/// `NAME=TAR|REF`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("write NAME=TAR or NAME=REF, for example control-plane=candidate.tar".to_owned()),
    }
}

/// `NAME=VALUE`.
pub(super) fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE, for example xds=delta".to_owned()),
    }
}

/// A duration as in scenarios.
pub(super) fn span(text: &str) -> Result<Span, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|e| e.to_string())
}

/// `WHAT=DURATION`.
pub(super) fn patience(text: &str) -> Result<(Wait, Span), String> {
    let (what, duration) = text
        .split_once('=')
        .ok_or("write WHAT=DURATION, for example ready=5m")?;
    let wait = Wait::from_str(what, false)
        .map_err(|_| format!("`{what}` is none of marker, probe and ready"))?;
    Ok((wait, span(duration)?))
}

/// The name of a cluster: it becomes part of host names, which have 63 characters at most.
pub(super) fn cluster_name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = (1..=32).contains(&text.len())
        && text.bytes().all(allowed)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if is_label {
        Ok(text.to_owned())
    } else {
        Err("a name has lower-case letters, digits and `-` inside, at most 32".to_owned())
    }
}

/// `K/N`.
pub(super) fn shard(text: &str) -> Result<Shard, String> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
    let parsed = text
        .split_once('/')
        .and_then(|(k, n)| Some((number(k)?, number(n)?)));
    match parsed {
        Some((number, of)) if number <= of => Ok(Shard { number, of }),
        Some((_, of)) => Err(format!("there are {of} parts, counted from 1")),
        None => Err("write K/N, for example 1/3 for the first of three parts".to_owned()),
    }
}

/// A number from 1.
pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(n) => Ok(n),
        Err(_) => Err("not a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_a_name_that_hosts_can_have() {
        assert_eq!(cluster_name("dev-2"), Ok("dev-2".to_owned()));
        for bad in ["", "../x", "Dev", "-a", "a-", &"a".repeat(33)] {
            assert!(cluster_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_shard_is_one_of_its_number() {
        assert_eq!(shard("2/3"), Ok(Shard { number: 2, of: 3 }));
        for bad in ["0/3", "4/3", "1", "a/b", "1/0", ""] {
            assert!(shard(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_written_as_in_scenarios() {
        assert_eq!(span("1m30s"), Ok(Span::secs(90)));
        assert!(span("10").is_err());
        assert_eq!(patience("ready=5m"), Ok((Wait::Ready, Span::secs(300))));
        assert!(patience("delivery=5m").is_err());
    }
}
