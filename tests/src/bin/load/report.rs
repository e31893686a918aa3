//! What came of a run: a table for people, a line of JSON for programs.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::{
    Failure,
    stats::{Summary, milliseconds},
};

/// What came of a run. Prints itself.
#[derive(Debug)]
pub(crate) struct Report(Vec<(String, Value)>);

impl Report {
    pub(crate) fn new(measurement: &str) -> Self {
        Self(Vec::new()).with("measurement", measurement)
    }

    /// Adds a count or a word.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a number, to three places.
    pub(crate) fn with_number(self, name: &str, value: f64) -> Self {
        self.with(name, json!((value * 1_000.0).round() / 1_000.0))
    }

    /// Adds quantiles in milliseconds.
    pub(crate) fn with_times(self, name: &str, times: &Summary) -> Self {
        self.with_number(&format!("{name}_p50_ms"), milliseconds(times.p50))
            .with_number(&format!("{name}_p99_ms"), milliseconds(times.p99))
            .with_number(&format!("{name}_p999_ms"), milliseconds(times.p999))
            .with_number(&format!("{name}_max_ms"), milliseconds(times.max))
    }

    /// Reads the last report that a file holds.
    pub(crate) fn last_of(text: &str) -> Result<Self, Failure> {
        let line = text
            .lines()
            .rev()
            .find(|line| line.starts_with('{'))
            .ok_or("no report in the file")?;
        let fields: Map<String, Value> = serde_json::from_str(line)?;
        Ok(Self(fields.into_iter().collect()))
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(found, _)| found == name)?.1.as_f64()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in &self.0 {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            writeln!(f, "  {name:width$}  {value}")?;
        }
        let line = Value::Object(self.0.iter().cloned().collect());
        write!(f, "{line}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_what_another_printed() {
        let first = Report::new("bridge")
            .with("lost", 0)
            .with_number("p50_ms", 0.123_456);
        let last = Report::new("relay").with("lost", 1).with_number("p50_ms", 2.0);
        let read = Report::last_of(&format!("{first}\n{last}\nbye\n")).unwrap();
        assert_eq!(
            (read.number("lost"), read.number("p50_ms")),
            (Some(1.0), Some(2.0))
        );
        assert_eq!(
            Report::last_of(&first.to_string()).unwrap().number("p50_ms"),
            Some(0.123)
        );
        assert!(Report::last_of("nothing").is_err());
    }
}
