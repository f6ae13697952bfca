//! How much weight each timestep has in the variational bound, and how much in L_simple.

use ch02_schedule::{BetaSchedule, Schedule};
use ch05_train::bound_weight;
use figures::{palette, Axes, Series};

const T: usize = 1000;

fn main() -> anyhow::Result<()> {
    let schedule = Schedule::new(BetaSchedule::Linear, T);
    for t in [1, 10, 100, T - 1] {
        cli::println!("t = {t}: {:.4}", bound_weight(&schedule, t));
    }
    let series = |name: &str, color, weight: &dyn Fn(usize) -> f64| {
        let points = (1..T).map(|t| (t as f64, weight(t))).collect();
        Series { name: name.into(), points, color }
    };
    let all = [
        series("the bound", palette::NOISE, &|t| bound_weight(&schedule, t)),
        series("L_simple", palette::SIGNAL, &|_| 1.0),
    ];
    let axes = Axes::new("timestep", "weight").log_x().log_y();
    figures::line_plot("weights.svg", &axes, &all)?;
    cli::println!("wrote weights.svg");
    Ok(())
}
