//! Durations in the Kubernetes style: `30s`, `1h30m`, `500ms`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A span of time as users write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl Span {
    /// Whole milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Whole seconds.
    #[must_use]
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// Whole nanoseconds, as many as there can be where it is longer.
    #[must_use]
    pub fn as_nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.as_millis();
        let (h, m, s, ms) = (
            total / 3_600_000,
            total / 60_000 % 60,
            total / 1000 % 60,
            total % 1000,
        );
        if total == 0 {
            return f.write_str("0s");
        }
        for (value, unit) in [(h, "h"), (m, "m"), (s, "s"), (ms, "ms")] {
            if value > 0 {
                write!(f, "{value}{unit}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "For example `30s`, `1m30s` or `500ms`.",
        })
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

/// Takes text, and tells who writes a bare number what is missing.
struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as `30s`, `1m30s` or `500ms`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
        let signed: jiff::SignedDuration = text.parse().map_err(|_| {
            E::custom(match text.parse::<u64>() {
                Ok(number) => without_unit(number),
                Err(_) => format!(
                    "`{text}` is not a duration; write for example `30s`, `1m30s` or `500ms`"
                ),
            })
        })?;
        Duration::try_from(signed)
            .map(Span)
            .map_err(|_| E::custom(format!("`{text}` is negative")))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Span, E> {
        Err(E::custom(without_unit(number)))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Span, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::custom(format!("`{number}` is negative"))),
        }
    }
}

fn without_unit(number: u64) -> String {
    format!(
        "`{number}` is not a duration without its unit; write for example `{number}s` or `{number}ms`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_told_that_its_unit_is_missing() {
        for text in ["20", "\"20\""] {
            let error = serde_json::from_str::<Span>(text).unwrap_err().to_string();
            assert!(
                error.contains("write for example `20s` or `20ms`"),
                "{error}"
            );
        }
        let span: Span = serde_json::from_str("\"1m30s\"").unwrap();
        assert_eq!(span, Span::secs(90));
        assert!(serde_json::from_str::<Span>("true").is_err());
    }
}
