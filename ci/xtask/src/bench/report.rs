//! What a bench has found: the table on stdout and the JSON document.

use super::statistics::{median, percentile};
use anyhow::Context as _;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The version of the JSON form; it grows when a field is removed or changes its meaning.
const SCHEMA_VERSION: u32 = 1;

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
    /// A ratio of two figures of this report.
    Ratio,
    /// A number of things.
    Count,
    /// How often in a second.
    Rate,
    /// Memory, in KiB.
    Kibibytes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Millis if value < 10.0 => format!("{value:.1} ms"),
            Self::Millis => format!("{value:.0} ms"),
            Self::Seconds => format!("{value:.1} s"),
            Self::Ratio => format!("{value:.2} x"),
            Self::Count => format!("{value:.0}"),
            Self::Rate => format!("{value:.1} /s"),
            Self::Kibibytes => format!("{value:.1} KiB"),
        }
    }
}

/// One line of the table.
#[derive(Debug)]
struct Row {
    words: String,
    value: String,
    aim: String,
}

/// Everything a bench has found so far.
#[derive(Debug)]
pub(super) struct Report {
    bench: String,
    machine: Value,
    samples: Vec<Value>,
    medians: Map<String, Value>,
    ratios: Map<String, Value>,
    /// The names of figures that do not follow from how fast a machine is.
    comparable: BTreeSet<String>,
    aims: Map<String, Value>,
    rows: Vec<Row>,
}

impl Report {
    /// Nothing yet.
    pub(super) fn new(bench: &str, machine: Value) -> Self {
        Self {
            bench: bench.to_owned(),
            machine,
            samples: Vec::new(),
            medians: Map::new(),
            ratios: Map::new(),
            comparable: BTreeSet::new(),
            aims: Map::new(),
            rows: Vec::new(),
        }
    }

    /// Which bench it is of.
    pub(super) fn bench(&self) -> &str {
        &self.bench
    }

    /// A figure by its name for programs.
    pub(super) fn value(&self, figure: &str) -> Option<f64> {
        let figures = self.medians.get(figure).or_else(|| self.ratios.get(figure));
        figures.and_then(Value::as_f64)
    }

    /// A figure is a ratio of others of this report, or memory: it says the same on a slower machine.
    pub(super) fn is_comparable(&self, figure: &str) -> bool {
        self.comparable.contains(figure)
    }

    /// Adds one measurement as it was made.
    pub(super) fn sample(&mut self, sample: Value) {
        self.samples.push(sample);
    }

    /// Adds a figure under a name for programs and words for people.
    pub(super) fn figure(&mut self, name: &str, words: &str, unit: Unit, value: f64) {
        let figures = if unit == Unit::Ratio {
            &mut self.ratios
        } else {
            &mut self.medians
        };
        figures.insert(name.to_owned(), rounded(value));
        if matches!(unit, Unit::Ratio | Unit::Kibibytes) {
            self.comparable.insert(name.to_owned());
        }
        self.row(words, unit.show(value));
    }

    /// Says of the figure added last which value it should not exceed.
    pub(super) fn aim(&mut self, name: &str, unit: Unit, value: f64, most: f64) {
        self.aims
            .insert(name.to_owned(), json!({"most": most, "met": value <= most}));
        if let Some(row) = self.rows.last_mut() {
            let met = if value <= most { "met" } else { "missed" };
            row.aim = format!("<= {} {met}", unit.show(most));
        }
    }

    /// Adds the median and the 99th percentile of measurements; nothing when there are none.
    pub(super) fn distribution(&mut self, name: &str, words: &str, unit: Unit, values: &[f64]) {
        let ranks = [(50, median(values)), (99, percentile(values, 99))];
        for (rank, value) in ranks {
            if let Some(value) = value {
                self.figure(
                    &format!("{name}P{rank}"),
                    &format!("{words}, p{rank}"),
                    unit,
                    value,
                );
            }
        }
    }

    /// Adds a line that is only for people.
    pub(super) fn row(&mut self, words: &str, value: String) {
        self.rows.push(Row {
            words: words.to_owned(),
            value,
            aim: String::new(),
        });
    }

    /// Writes the JSON document.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(super) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let document = json!({
            "schemaVersion": SCHEMA_VERSION,
            "bench": self.bench,
            "finishedAtUnixSeconds": seconds,
            "machine": self.machine,
            "samples": self.samples,
            "medians": self.medians,
            "ratios": self.ratios,
            "aims": self.aims,
        });
        let text = serde_json::to_string_pretty(&document).context("print the figures")?;
        std::fs::write(file, text + "\n").with_context(|| format!("write {}", file.display()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: fn(&Row) -> &str| {
            let lengths = self.rows.iter().map(|row| column(row).chars().count());
            lengths.max().unwrap_or_default()
        };
        let (words, value) = (width(|row| &row.words), width(|row| &row.value));
        for row in &self.rows {
            let line = format!("{:words$}  {:>value$}  {}", row.words, row.value, row.aim);
            writeln!(formatter, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Three digits behind the point: more would say nothing.
fn rounded(value: f64) -> Value {
    json!((value * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_says_whether_aims_are_met() {
        let mut report = Report::new("test", Value::Null);
        report.figure("readyMillis", "ready", Unit::Millis, 1234.4);
        report.figure("ratio", "against nothing", Unit::Ratio, 2.75);
        report.aim("ratio", Unit::Ratio, 2.75, 2.5);
        assert_eq!(
            report.to_string(),
            "ready            1234 ms\nagainst nothing   2.75 x  <= 2.50 x missed\n"
        );
        assert_eq!(report.ratios["ratio"], json!(2.75));
        assert_eq!(report.medians["readyMillis"], json!(1234.4));
        assert_eq!(report.aims["ratio"]["met"], json!(false));
    }
}
