//! Schedules that went wrong, next to two that did not.

use ch02_schedule::{betas, BetaSchedule, Schedule, BETA_END, BETA_START};
use figures::{palette, Axes, Series};

const T: usize = 1000;

/// `alpha_bar`, without the check that a [`Schedule`] makes.
fn alpha_bar(betas: &[f64]) -> Vec<f64> {
    let mut product = 1.0;
    betas
        .iter()
        .map(|beta| {
            product *= 1.0 - beta;
            product
        })
        .collect()
}

// ANCHOR: integer_division
/// The cosine schedule with an integer division.
#[allow(clippy::integer_division)]
fn integer_division() -> Vec<f64> {
    let f = |t: usize| {
        (((t / T) as f64 + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2)
    };
    alpha_bar(
        &(0..T)
            .map(|t| if t + 1 == T { 0.0 } else { 1.0 - f(t + 1) / f(t) })
            .collect::<Vec<_>>(),
    )
}
// ANCHOR_END: integer_division

fn main() -> Result<(), figures::FigureError> {
    let right = |kind| Schedule::new(kind, T).alpha_bar;
    // A hundred steps with the betas meant for a thousand.
    let short =
        Schedule::from_betas(betas(BetaSchedule::Linear, 100, BETA_START, BETA_END))
            .alpha_bar;
    let roots: Vec<f64> = Schedule::new(BetaSchedule::Linear, T)
        .betas
        .iter()
        .map(|beta| beta.sqrt())
        .collect();
    let curves = [
        ("cosine", right(BetaSchedule::SquaredcosCapV2)),
        ("linear", right(BetaSchedule::Linear)),
        ("integer division", integer_division()),
        ("hundred steps", short),
        ("roots", alpha_bar(&roots)),
    ];
    let series: Vec<Series> = curves
        .into_iter()
        .zip([
            palette::SIGNAL,
            palette::NOISE,
            palette::PREDICTION,
            palette::DATA,
            palette::INK,
        ])
        .map(|((name, values), color)| {
            let points =
                values.into_iter().enumerate().map(|(t, v)| (t as f64, v)).collect();
            Series { name: name.into(), points, color }
        })
        .collect();
    figures::line_plot(
        "schedule_mistakes.svg",
        &Axes::new("timestep", "alpha_bar"),
        &series,
    )
}
