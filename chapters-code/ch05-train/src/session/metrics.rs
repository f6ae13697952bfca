//! The curves of a training run: `metrics.csv`, `heldout.csv` and `loss.svg`.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use figures::{palette, Axes, Series};

use crate::{HeldoutLoss, StepReport, BUCKETS, MAX_STEPS, TRAINING};

/// The curves of a training run: one row per step, and one per measurement of the
/// held-out loss.
#[derive(Default)]
pub struct Metrics {
    steps: Vec<StepReport>,
    heldout: Vec<(u64, HeldoutLoss)>,
}

/// The loss shown is the mean over this many steps, because the loss of a single step jumps about.
const WINDOW: usize = 50;

impl Metrics {
    /// Adds a step.
    pub fn push(&mut self, report: StepReport) {
        self.steps.push(report);
    }

    /// Adds a measurement that was made after `step` steps.
    pub fn push_heldout(&mut self, step: u64, loss: HeldoutLoss) {
        self.heldout.push((step, loss));
    }

    /// The mean loss of the most recent steps.
    pub fn recent_loss(&self) -> f32 {
        let last = &self.steps[self.steps.len().saturating_sub(WINDOW)..];
        last.iter().map(|r| r.loss).sum::<f32>() / last.len().max(1) as f32
    }

    /// Writes the tables and the plot.
    ///
    /// # Errors
    /// If a file cannot be written, or the plot cannot be drawn.
    pub fn save(&self, out: &Path) -> anyhow::Result<()> {
        let mut table = "step,loss,gradient_norm,learning_rate\n".to_string();
        for r in &self.steps {
            writeln!(
                table,
                "{},{},{},{}",
                r.step, r.loss, r.gradient_norm, r.learning_rate
            )?;
        }
        files::write(out.join(TRAINING).join("metrics.csv"), table.as_bytes())?;
        let mut table = "step".to_string();
        for bucket in 0..BUCKETS {
            write!(table, ",bucket_{bucket}")?;
        }
        table.push('\n');
        for (step, loss) in &self.heldout {
            let values: Vec<String> = loss.buckets.iter().map(f32::to_string).collect();
            writeln!(table, "{step},{}", values.join(","))?;
        }
        files::write(out.join(TRAINING).join("heldout.csv"), table.as_bytes())?;
        self.plot(out)
    }

    fn plot(&self, out: &Path) -> anyhow::Result<()> {
        let means = self.steps.chunks(WINDOW).map(|chunk| {
            let mean =
                chunk.iter().map(|r| r.loss as f64).sum::<f64>() / chunk.len() as f64;
            (chunk[chunk.len() / 2].step as f64, mean)
        });
        let training = Series {
            name: format!("training, mean of {WINDOW} steps"),
            points: means.collect(),
            color: palette::DATA,
        };
        let points = self
            .heldout
            .iter()
            .map(|(step, loss)| (*step as f64, loss.mean() as f64))
            .collect();
        let heldout =
            Series { name: "held-out".into(), points, color: palette::PREDICTION };
        let axes = Axes::new("step", "loss (mean squared error)").log_y();
        Ok(figures::line_plot(out.join("loss.svg"), &axes, &[training, heldout])?)
    }

    /// Reads the tables back, up to step number `step`.
    ///
    /// # Errors
    /// If a table is missing or damaged; the error names the file and the line.
    pub fn load(out: &Path, step: u64) -> anyhow::Result<Self> {
        let folder = out.join(TRAINING);
        let mut metrics = Self::default();
        for (at, [loss, gradient_norm, learning_rate]) in
            rows(&folder.join("metrics.csv"))?
        {
            if at < step {
                let loss = loss as f32;
                metrics.push(StepReport {
                    step: at,
                    loss,
                    gradient_norm,
                    learning_rate,
                });
            }
        }
        for (at, losses) in rows::<BUCKETS>(&folder.join("heldout.csv"))? {
            if at <= step {
                metrics.push_heldout(
                    at,
                    HeldoutLoss { buckets: losses.map(|loss| loss as f32) },
                );
            }
        }
        Ok(metrics)
    }
}

/// The rows of a table, without the line that names its columns; each row holds a step and `N`
/// numbers.
fn rows<const N: usize>(path: &Path) -> anyhow::Result<Vec<(u64, [f64; N])>> {
    let text = String::from_utf8(files::read(path)?)
        .with_context(|| format!("{} is not text", path.display()))?;
    let file = path.display();
    anyhow::ensure!(
        text.starts_with("step,"),
        "{file}, line 1: it must begin with 'step,'"
    );
    let row = |(i, line)| row(line).with_context(|| format!("{file}, line {}", i + 1));
    let rows =
        text.lines().enumerate().skip(1).map(row).collect::<anyhow::Result<_>>()?;
    anyhow::ensure!(text.ends_with('\n'), "{file}: the last line is cut off");
    Ok(rows)
}

/// A step and `N` numbers.
fn row<const N: usize>(line: &str) -> anyhow::Result<(u64, [f64; N])> {
    let (step, rest) = line.split_once(',').unwrap_or((line, ""));
    let step = step.parse().ok().filter(|step| *step <= MAX_STEPS);
    let step =
        step.with_context(|| format!("a step is a whole number up to {MAX_STEPS}"))?;
    let number = |cell: &str| {
        cell.parse::<f64>().with_context(|| format!("'{cell}' is not a number"))
    };
    let numbers = rest.split(',').map(number).collect::<anyhow::Result<Vec<f64>>>()?;
    let found = numbers.len() + 1;
    let wrong = || format!("there are {found} columns, not {}", N + 1);
    Ok((step, numbers.try_into().ok().with_context(wrong)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(step: u64) -> StepReport {
        StepReport { step, loss: 0.5, gradient_norm: 1.0, learning_rate: 1e-3 }
    }

    #[test]
    fn tables_come_back_up_to_a_step() {
        let folder = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::default();
        (0..6).for_each(|step| metrics.push(report(step)));
        (2..=6).step_by(2).for_each(|step| {
            metrics.push_heldout(step, HeldoutLoss { buckets: [0.25; BUCKETS] })
        });
        metrics.save(folder.path()).unwrap();
        let again = Metrics::load(folder.path(), 4).unwrap();
        assert_eq!(again.steps, metrics.steps[..4]);
        assert_eq!(again.heldout, metrics.heldout[..2]);
        // No step and no measurement yet.
        Metrics::default().save(folder.path()).unwrap();
        assert!(Metrics::load(folder.path(), 0).unwrap().steps.is_empty());
    }

    #[test]
    fn damaged_tables_name_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::default();
        metrics.push(report(0));
        metrics.push_heldout(1, HeldoutLoss { buckets: [0.25; BUCKETS] });
        metrics.save(folder.path()).unwrap();
        let good = ["metrics.csv", "heldout.csv"]
            .map(|name| (name, folder.path().join(TRAINING).join(name)));
        for (name, path) in good {
            let text = std::fs::read_to_string(&path).unwrap();
            let bad = |bytes: &[u8], words: &str| {
                std::fs::write(&path, bytes).unwrap();
                let error = format!(
                    "{:#}",
                    Metrics::load(folder.path(), 9).err().expect("it is damaged")
                );
                assert!(
                    error.contains(name) && error.contains(words),
                    "{words}: {error}"
                );
            };
            bad(b"", "line 1");
            bad(b"\xff\xfe\0\x01", "not text");
            bad(b"PK\x03\x04", "line 1");
            bad(&text.as_bytes()[..text.len() - 1], "the last line is cut off");
            bad(&text.as_bytes()[..text.len() - 8], "");
            bad(format!("{text}\n").as_bytes(), "line 3: a step is a whole number");
            bad(format!("{text}1\n").as_bytes(), "line 3: '' is not a number");
            bad(format!("{text}1,2\n").as_bytes(), "line 3: there are 2 columns");
            bad(
                format!("{text}NaN,1,1,1\n").as_bytes(),
                "line 3: a step is a whole number",
            );
            bad(
                format!("{text}-1,1,1,1\n").as_bytes(),
                "line 3: a step is a whole number",
            );
            bad(
                format!("{text}{},1,1,1\n", u64::MAX).as_bytes(),
                "line 3: a step is a whole number",
            );
            bad(format!("{text}7,1,x,1\n").as_bytes(), "line 3: 'x' is not a number");
            std::fs::write(&path, text).unwrap();
        }
        Metrics::load(folder.path(), 9).unwrap();
    }
}
