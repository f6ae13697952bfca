//! `evaluation.json`, from which the table and the plots of an evaluation are made anew.

use std::path::Path;

use super::{json, of_file, repair, Run, Target};

#[rustfmt::skip] // its chapter decides how wide it is
#[path = "../../../../chapters-code/ch09-evaluation/src/bin/ch09-evaluation/report.rs"]
mod report;

use self::report::{Drawn, Measured, Measures, Report, Row, Unit};

pub const TARGETS: &[Target] = &[Target {
    name: "evaluation",
    words: &[
        b"{\"mean\": 1, \"deviation\": 0}",
        b"{\"number\": 3}",
        b"\"percent\"",
        b"\"columns\": []",
        b"1000000000",
    ],
    repair: repair::nothing,
    seeds: || vec![json(&report())],
    open,
}];

fn open(folder: &Path) -> Run {
    let (path, out) = (folder.join("evaluation.json"), folder.join("out"));
    of_file(path.clone(), move || Report::read(&path)?.write(&out))
}

fn report() -> Report {
    let rows = [(Some(5), Some(1.0)), (Some(50), Some(4.0))]
        .map(|(steps, scale)| row("DDIM", steps, scale));
    let (model, dataset) = ("runs/cats".into(), "cats".into());
    let real = row("real images", None, None);
    Report {
        model,
        dataset,
        count: 64,
        seeds: 2,
        classifier_accuracy: 0.97,
        real,
        rows: rows.into(),
    }
}

fn row(sampler: &str, steps: Option<usize>, guidance_scale: Option<f64>) -> Row {
    let drawn = Drawn { sampler: sampler.into(), steps, guidance_scale };
    let value = steps.unwrap_or(1) as f64;
    Row::of(drawn, &[value, value + 0.5], 64, &[measures(value), measures(value + 1.0)])
}

fn measures(value: f64) -> Measures {
    let measured =
        |name: &str, unit, value, real| Measured { name: name.into(), unit, value, real, of: None };
    let columns = vec![measured("Fréchet", Unit::Number(3), Some(value), None)];
    let kinds = vec![
        measured("black", Unit::Percent, Some(0.2), Some(0.25)),
        measured("grey", Unit::Percent, None, None),
    ];
    Measures { columns, lines: vec![("fur".into(), kinds)] }
}
