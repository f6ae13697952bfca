//! The curves of a training: `metrics.csv`, `heldout.csv` and `loss.svg`.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use figures::{palette, Axes, Series};

use crate::{HeldoutLoss, StepReport, BUCKETS, TRAINING};

/// One row per step, and one per measurement of the held-out loss.
#[derive(Default)]
pub struct Metrics {
    steps: Vec<StepReport>,
    heldout: Vec<(u64, HeldoutLoss)>,
}

/// The shown loss is the mean of this many steps, because single steps jump.
const WINDOW: usize = 50;

impl Metrics {
    pub fn push(&mut self, report: StepReport) {
        self.steps.push(report);
    }

    pub fn push_heldout(&mut self, step: u64, loss: HeldoutLoss) {
        self.heldout.push((step, loss));
    }

    /// The mean loss of the last steps.
    pub fn recent_loss(&self) -> f32 {
        let last = &self.steps[self.steps.len().saturating_sub(WINDOW)..];
        last.iter().map(|r| r.loss).sum::<f32>() / last.len().max(1) as f32
    }

    /// Writes the tables and the plot.
    pub fn save(&self, out: &Path) -> anyhow::Result<()> {
        let mut table = "step,loss,gradient_norm,learning_rate\n".to_string();
        for r in &self.steps {
            writeln!(table, "{},{},{},{}", r.step, r.loss, r.gradient_norm, r.learning_rate)?;
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
            let mean = chunk.iter().map(|r| r.loss as f64).sum::<f64>() / chunk.len() as f64;
            (chunk[chunk.len() / 2].step as f64, mean)
        });
        let training =
            Series { name: format!("training, mean of {WINDOW} steps"), points: means.collect(), color: palette::DATA };
        let points = self.heldout.iter().map(|(step, loss)| (*step as f64, loss.mean() as f64)).collect();
        let heldout = Series { name: "held-out".into(), points, color: palette::PREDICTION };
        let axes = Axes::new("step", "loss (mean squared error)").log_y();
        Ok(figures::line_plot(out.join("loss.svg"), &axes, &[training, heldout])?)
    }

    /// Reads the tables back, up to step number `step`.
    pub fn load(out: &Path, step: u64) -> anyhow::Result<Self> {
        let mut metrics = Self::default();
        let path = out.join(TRAINING).join("metrics.csv");
        for row in rows(&path)? {
            let [at, loss, gradient_norm, learning_rate] = row[..] else {
                anyhow::bail!("{}: a row has {} columns, but 4 are needed", path.display(), row.len());
            };
            metrics.push(StepReport { step: at as u64, loss: loss as f32, gradient_norm, learning_rate });
        }
        metrics.steps.retain(|r| r.step < step);
        let path = out.join(TRAINING).join("heldout.csv");
        for row in rows(&path)? {
            let buckets: Vec<f32> = row[1..].iter().map(|&v| v as f32).collect();
            let buckets = buckets
                .try_into()
                .map_err(|_| anyhow::anyhow!("{}: a row must have {} columns", path.display(), BUCKETS + 1))?;
            metrics.push_heldout(row[0] as u64, HeldoutLoss { buckets });
        }
        metrics.heldout.retain(|(at, _)| *at <= step);
        Ok(metrics)
    }
}

/// The numbers of a table, without its first line.
fn rows(path: &Path) -> anyhow::Result<Vec<Vec<f64>>> {
    let text = String::from_utf8(files::read(path)?).with_context(|| format!("{} is not text", path.display()))?;
    let number =
        |cell: &str| cell.parse::<f64>().with_context(|| format!("{}: '{cell}' is not a number", path.display()));
    text.lines().skip(1).map(|line| line.split(',').map(number).collect()).collect()
}
