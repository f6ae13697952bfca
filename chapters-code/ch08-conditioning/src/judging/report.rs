//! What was found out, as table, JSON and figures.

use std::path::Path;

use ch04_unet::model_dir;
use figures::{palette, Axes, Scale, Series};
use serde::{Deserialize, Serialize};

/// How often the drawn images are what was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Right {
    /// Share of images whose class the classifier recognises.
    Class(f64),
    /// Shares of cats of which everything is right, among those of kinds that were seen in training and that were not; and
    /// of which each attribute is right.
    Cats { seen: f64, unseen: f64, unseen_count: usize, fur: f64, pattern: f64, eyes: f64, ears: f64, background: f64 },
}

/// A row of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) sampler: String,
    pub(super) steps: Option<usize>,
    pub(super) guidance_scale: Option<f64>,
    pub(super) images_per_second: Option<f64>,
    pub(super) frechet_distance: f64,
    pub(super) kernel_distance: f64,
    /// Median root mean square difference to the nearest training image.
    pub(super) nearest: f64,
    pub(super) right: Option<Right>,
}

/// Everything that was found out.
#[derive(Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) model: String,
    pub(super) dataset: String,
    pub(super) count: usize,
    pub(super) classifier_accuracy: f64,
    /// Held-out real images, judged as if they had been drawn.
    pub(super) real: Row,
    pub(super) rows: Vec<Row>,
}

impl Report {
    /// Prints the table and writes all that can be made of the numbers.
    pub(super) fn write(&self, out: &Path) -> anyhow::Result<()> {
        let table = self.table();
        print!("{table}");
        files::write(out.join("evaluation.md"), table.as_bytes())?;
        model_dir::write_json(&out.join("evaluation.json"), self)?;
        self.plots(out)?;
        println!("wrote {}", out.display());
        Ok(())
    }

    fn table(&self) -> String {
        let (mut names, mut line) = (String::new(), String::new());
        match &self.real.right {
            Some(Right::Class(_)) => (names, line) = (" right |".into(), "---:|".into()),
            Some(Right::Cats { .. }) => {
                for name in ["all right, seen", "unseen", "fur", "pattern", "eyes", "ears", "background"] {
                    names += &format!(" {name} |");
                    line += "---:|";
                }
            }
            None => {}
        }
        let mut text = format!(
            "{}, {} images for each row; the classifier reads {:.2} % of the held-out ones rightly\n\n| sampler | steps | guidance | images/s | Fréchet | kernel | nearest |{names}\n|---|---:|---:|---:|---:|---:|---:|{line}\n",
            self.dataset, self.count, 100.0 * self.classifier_accuracy
        );
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".into());
        for row in [&self.real].into_iter().chain(&self.rows) {
            text += &format!(
                "| {} | {} | {} | {} | {:.3} | {:.5} | {:.3} |",
                row.sampler,
                or_dash(row.steps.map(|v| v.to_string())),
                or_dash(row.guidance_scale.map(|v| v.to_string())),
                or_dash(row.images_per_second.map(|v| format!("{v:.1}"))),
                row.frechet_distance,
                row.kernel_distance,
                row.nearest
            );
            let shares = match row.right {
                None => vec![],
                Some(Right::Class(share)) => vec![share],
                Some(Right::Cats { seen, unseen, fur, pattern, eyes, ears, background, .. }) => {
                    vec![seen, unseen, fur, pattern, eyes, ears, background]
                }
            };
            for share in shares {
                text += &format!(" {:.1} % |", 100.0 * share);
            }
            text.push('\n');
        }
        text
    }

    /// Quality against steps, against time and against the guidance scale, as far as there is more than one of each.
    fn plots(&self, out: &Path) -> anyhow::Result<()> {
        let distance = |row: &Row| row.frechet_distance;
        let plot = |name: &str, x: &str, x_scale, at: &dyn Fn(&Row) -> Option<f64>| -> anyhow::Result<()> {
            let mut series: Vec<Series> = Vec::new();
            for row in &self.rows {
                let Some(x) = at(row) else { continue };
                let color = palette::SERIES[series.len() % palette::SERIES.len()];
                match series.iter_mut().find(|s| s.name == row.sampler) {
                    Some(s) => s.points.push((x, distance(row))),
                    None => series.push(Series { name: row.sampler.clone(), points: vec![(x, distance(row))], color }),
                }
            }
            let (low, high) =
                series.iter().flat_map(|s| &s.points).fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p.0), h.max(p.0)));
            if low >= high {
                return Ok(());
            }
            // What no sampler can do better.
            let best = distance(&self.real);
            series.push(Series {
                name: "real images".into(),
                points: vec![(low, best), (high, best)],
                color: palette::INK,
            });
            let axes = Axes { x_scale, ..Axes::new(x, "Fréchet distance").log_y() };
            Ok(figures::line_plot(out.join(name), &axes, &series)?)
        };
        plot("quality_steps.svg", "steps", Scale::Logarithmic, &|row| row.steps.map(|s| s as f64))?;
        plot("quality_seconds.svg", "seconds per image", Scale::Logarithmic, &|row| {
            row.images_per_second.map(|v| 1.0 / v)
        })?;
        plot("quality_guidance.svg", "guidance scale", Scale::Linear, &|row| row.guidance_scale)
    }
}
