//! The project of chapter 2: a schedule designed from its signal-to-noise ratio.

use std::process::ExitCode;

use ch02_schedule::{BetaSchedule, Schedule};
use cli::Project;
use figures::{palette, Axes, Series};

#[allow(dead_code)] // the other exercises
#[path = "../exercises/answers.rs"]
mod answers;
#[allow(dead_code)]
#[path = "../exercises/solutions.rs"]
mod solutions;

const T: usize = 1000;

fn draw(project: Project) -> anyhow::Result<()> {
    let straight = if project.mine { answers::straight } else { solutions::straight };
    let linear = Schedule::new(BetaSchedule::Linear, T);
    let cosine = Schedule::new(BetaSchedule::SquaredcosCapV2, T);
    // As clean at the beginning, and as noisy at the end, as the paper's.
    let straight = straight(T, linear.snr(0).ln(), linear.snr(T - 1).ln());
    let schedules = [
        ("linear", linear, palette::NOISE),
        ("cosine", cosine, palette::SIGNAL),
        ("straight log-SNR", straight, palette::PREDICTION),
    ];
    let series = schedules.map(|(name, schedule, color)| {
        let half_way = solutions::half_way(&schedule);
        cli::println!("{name}: as much noise as image at timestep {half_way}");
        let points = (0..T).map(|t| (t as f64, schedule.alpha_bar[t])).collect();
        Series { name: name.into(), points, color }
    });
    figures::line_plot("straight.svg", &Axes::new("timestep", "alpha_bar"), &series)?;
    cli::println!("wrote straight.svg");
    Ok(())
}

fn main() -> ExitCode {
    cli::run(draw)
}
