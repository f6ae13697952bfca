//! What was measured, as a table, as JSON and as plots.

use std::fmt;
use std::path::Path;

use anyhow::ensure;
use ch04_unet::model_dir;
use ch09_evaluation::Spread;
use figures::{palette, Axes, Scale, Series};
use files::Disk;
use serde::{Deserialize, Serialize};

/// How a figure is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    /// With this many decimals.
    Number(usize),
    /// A share from 0 to 1, as a percentage.
    Percent,
}

/// A figure with its name, measured once.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) name: String,
    pub(super) unit: Unit,
    /// Nothing where there was nothing to count.
    pub(super) value: Option<f64>,
    /// The same figure for real images, where it is known.
    pub(super) real: Option<f64>,
    /// How many images the figure is a share of, where this is reported.
    pub(super) of: Option<usize>,
}

/// All figures of a crowd of images: those in the table, and those in the titled lines below it.
#[derive(Clone, Debug)]
pub(super) struct Measures {
    pub(super) columns: Vec<Measured>,
    pub(super) lines: Vec<(String, Vec<Measured>)>,
}

/// A figure with its name and its spread.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Measure {
    name: String,
    unit: Unit,
    value: Option<Spread>,
    real: Option<f64>,
    /// How many images, over all seeds, the figure is a share of, where this is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<usize>,
}

impl Measure {
    /// The same figure from several seeds.
    fn of(seeds: &[&Measured]) -> Self {
        let first = seeds[0];
        let values: Vec<f64> =
            seeds.iter().filter_map(|measured| measured.value).collect();
        let value = (!values.is_empty()).then(|| Spread::from_values(&values));
        Self {
            name: first.name.clone(),
            unit: first.unit,
            value,
            real: first.real,
            of: seeds.iter().map(|measured| measured.of).sum(),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (factor, digits, unit) = match self.unit {
            Unit::Number(digits) => (1.0, digits, ""),
            Unit::Percent => (100.0, 1, " %"),
        };
        let Some(Spread { mean, deviation }) = self.value else {
            return f.write_str("–");
        };
        write!(
            f,
            "{:.digits$} ± {:.digits$}{unit}",
            factor * mean,
            factor * deviation
        )?;
        if let Some(real) = self.real {
            write!(f, " ({:.digits$})", factor * real)?;
        }
        self.of.map_or(Ok(()), |count| write!(f, " of {count}"))
    }
}

/// A line below the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    title: String,
    measures: Vec<Measure>,
}

/// A row of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    sampler: String,
    steps: Option<usize>,
    guidance_scale: Option<f64>,
    images_per_second: Option<Spread>,
    columns: Vec<Measure>,
    lines: Vec<Line>,
}

/// How the images of a row were drawn.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    pub(super) sampler: String,
    pub(super) steps: Option<usize>,
    pub(super) guidance_scale: Option<f64>,
}

impl Row {
    /// A row from what was measured with each seed.
    pub(super) fn of(
        drawn: Drawn,
        seconds: &[f64],
        count: usize,
        seeds: &[Measures],
    ) -> Self {
        let at = |column: usize| -> Vec<&Measured> {
            seeds.iter().map(|seed| &seed.columns[column]).collect()
        };
        let line = |line: usize| {
            let first = &seeds[0].lines[line];
            let measures = (0..first.1.len()).map(|i| {
                Measure::of(
                    &seeds.iter().map(|s| &s.lines[line].1[i]).collect::<Vec<_>>(),
                )
            });
            Line { title: first.0.clone(), measures: measures.collect() }
        };
        let speeds: Vec<f64> =
            seconds.iter().map(|seconds| count as f64 / seconds).collect();
        Self {
            sampler: drawn.sampler,
            steps: drawn.steps,
            guidance_scale: drawn.guidance_scale,
            images_per_second: (!speeds.is_empty())
                .then(|| Spread::from_values(&speeds)),
            columns: (0..seeds[0].columns.len())
                .map(|column| Measure::of(&at(column)))
                .collect(),
            lines: (0..seeds[0].lines.len()).map(line).collect(),
        }
    }

    /// What the plots show.
    fn distance(&self) -> Option<Spread> {
        self.columns.first()?.value
    }

    fn name(&self) -> String {
        let mut name = self.sampler.clone();
        name += &self.steps.map_or(String::new(), |steps| format!(", {steps} steps"));
        name += &self
            .guidance_scale
            .map_or(String::new(), |scale| format!(", guidance {scale}"));
        name
    }

    /// All figures, including those in the lines.
    fn measures(&self) -> impl Iterator<Item = &Measure> {
        self.columns.iter().chain(self.lines.iter().flat_map(|line| &line.measures))
    }

    fn numbers(&self) -> impl Iterator<Item = f64> + '_ {
        let spreads =
            self.measures().filter_map(|m| m.value).chain(self.images_per_second);
        let numbers = spreads.flat_map(|spread| [spread.mean, spread.deviation]);
        let numbers = numbers.chain(self.measures().filter_map(|m| m.real));
        numbers.chain(self.guidance_scale).chain(self.steps.map(|steps| steps as f64))
    }
}

/// Everything that was measured.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Report {
    pub(super) model: String,
    pub(super) dataset: String,
    /// Images for each row and seed.
    pub(super) count: usize,
    pub(super) seeds: usize,
    pub(super) classifier_accuracy: f64,
    /// Held-out real images, judged as if they had been drawn.
    pub(super) real: Row,
    pub(super) rows: Vec<Row>,
}

/// No figure of an evaluation is larger than this.
const LARGEST: f64 = 1e9;
/// No figure of an evaluation has more decimals than this.
const MOST_DECIMALS: usize = 15;

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// If it is missing or damaged, or if it holds numbers that no evaluation measures.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let report: Self = model_dir::read_json(&Disk, path)?;
        for row in report.all_rows() {
            let (path, name) = (path.display(), row.name());
            ensure!(
                row.distance().is_some(),
                "{path}: the row '{name}' has no distance"
            );
            for number in row.numbers() {
                let measured = number.is_finite() && number.abs() <= LARGEST;
                ensure!(
                    measured,
                    "{path}: the row '{name}' holds {number}, which no evaluation measures"
                );
            }
            for Measure { name: measure, unit, .. } in row.measures() {
                let shown = !matches!(unit, Unit::Number(decimals) if *decimals > MOST_DECIMALS);
                let most = MOST_DECIMALS;
                ensure!(
                    shown,
                    "{path}: '{measure}' in the row '{name}' has more than {most} \
                    decimals: lower 'number'"
                );
            }
        }
        Ok(report)
    }

    fn all_rows(&self) -> impl Iterator<Item = &Row> {
        [&self.real].into_iter().chain(&self.rows)
    }

    /// Prints the table and writes all that can be made from the numbers.
    pub(super) fn write(&self, out: &Path) -> anyhow::Result<()> {
        let table = self.table();
        cli::println!("{}", table.trim_end());
        files::write(out.join("evaluation.md"), table.as_bytes())?;
        model_dir::write_json(&out.join("evaluation.json"), self)?;
        self.plots(out)?;
        cli::println!("wrote {}", out.display());
        Ok(())
    }

    fn table(&self) -> String {
        let names: Vec<&str> =
            self.real.columns.iter().map(|m| m.name.as_str()).collect();
        let mut text = format!(
            "{}, {} images for each row and seed, {} seeds: mean ± standard deviation. \
             The classifier reads {:.2} % of the held-out images correctly.\n\n\
             | sampler | steps | guidance | images/s | {} |\n|---|---:|---:|---:|{}\n",
            self.dataset,
            self.count,
            self.seeds,
            100.0 * self.classifier_accuracy,
            names.join(" | "),
            "---:|".repeat(names.len())
        );
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".into());
        for row in self.all_rows() {
            text += &format!(
                "| {} | {} | {} | {} |",
                row.sampler,
                or_dash(row.steps.map(|v| v.to_string())),
                or_dash(row.guidance_scale.map(|v| v.to_string())),
                or_dash(row.images_per_second.map(|v| format!("{:.1}", v.mean))),
            );
            row.columns.iter().for_each(|measure| text += &format!(" {measure} |"));
            text.push('\n');
        }
        for row in &self.rows {
            text += &format!(
                "\n{} (in brackets: the share among all real images):\n\n",
                row.name()
            );
            for Line { title, measures } in &row.lines {
                let measures = measures.iter().map(|m| format!("{} {m}", m.name));
                text += &format!(
                    "- {title}: {}\n",
                    measures.collect::<Vec<_>>().join(", ")
                );
            }
        }
        text
    }

    /// Quality against steps, against time and against the guidance scale, where there
    /// is more than one value.
    fn plots(&self, out: &Path) -> anyhow::Result<()> {
        let plot = |name: &str, x: &str, x_scale, at: &dyn Fn(&Row) -> Option<f64>| {
            let mut series: Vec<(Series, Vec<f64>)> = Vec::new();
            for row in &self.rows {
                let (Some(x), Some(Spread { mean, deviation })) =
                    (at(row), row.distance())
                else {
                    continue;
                };
                let color = palette::SERIES[series.len() % palette::SERIES.len()];
                let place = series.iter().position(|(s, _)| s.name == row.sampler);
                let place = place.unwrap_or_else(|| {
                    let empty =
                        Series { name: row.sampler.clone(), points: Vec::new(), color };
                    series.push((empty, Vec::new()));
                    series.len() - 1
                });
                series[place].0.points.push((x, mean));
                series[place].1.push(deviation);
            }
            let points = series.iter().flat_map(|(s, _)| &s.points);
            let (low, high) =
                points.fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p.0), h.max(p.0)));
            if low >= high {
                return Ok(());
            }
            // No sampler can do better.
            if let Some(Spread { mean, deviation }) = self.real.distance() {
                let points = vec![(low, mean), (high, mean)];
                let real =
                    Series { name: "real images".into(), points, color: palette::INK };
                series.push((real, vec![deviation; 2]));
            }
            let axes = Axes { x_scale, ..Axes::new(x, "Fréchet distance").log_y() };
            anyhow::Ok(figures::spread_plot(out.join(name), &axes, &series)?)
        };
        plot("quality_steps.svg", "steps", Scale::Logarithmic, &|row| {
            row.steps.map(|s| s as f64)
        })?;
        plot("quality_seconds.svg", "seconds per image", Scale::Logarithmic, &|row| {
            row.images_per_second.map(|v| 1.0 / v.mean)
        })?;
        plot("quality_guidance.svg", "guidance scale", Scale::Linear, &|row| {
            row.guidance_scale
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_spread_is_that_of_a_sample() {
        let Spread { mean, deviation } = Spread::from_values(&[1.0, 2.0, 6.0]);
        // The squared differences from the mean are 4, 1 and 9; their sum is divided by one less
        // than their count.
        assert!((mean - 3.0).abs() < 1e-12 && (deviation - 7f64.sqrt()).abs() < 1e-12);
        assert_eq!(Spread::from_values(&[4.0]), Spread { mean: 4.0, deviation: 0.0 });
    }
}
