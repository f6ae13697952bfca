//! Plots the schedules together, and writes every value if asked to.

use std::fmt::Write;
use std::path::PathBuf;

use ch02_schedule::{BetaSchedule, Schedule};
use clap::Parser;
use figures::{palette, Axes, Scale, Series};

/// Compare noise schedules
#[derive(Parser)]
struct Args {
    /// How many steps of noise
    #[arg(
        long,
        default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000),
    )]
    timesteps: u32,
    /// Only this schedule
    #[arg(long, value_enum)]
    schedule: Option<BetaSchedule>,
    /// What to plot
    #[arg(long, value_enum, default_value = "alpha_bar")]
    plot: Quantity,
    /// The plot to write (SVG)
    #[arg(long, default_value = "schedules.svg")]
    out: PathBuf,
    /// Also write every value of every schedule to this file
    #[arg(long)]
    csv: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum Quantity {
    Betas,
    AlphaBar,
    Snr,
    PosteriorVariance,
}

fn main() -> std::process::ExitCode {
    cli::run(|args: Args| {
        let table = args.csv.as_ref().map(|path| ("--csv", path, "csv"));
        cli::outputs([("--out", &args.out, "svg")].into_iter().chain(table))?;
        let kinds = args.schedule.map_or(BetaSchedule::ALL.to_vec(), |kind| vec![kind]);
        let schedules: Vec<(BetaSchedule, Schedule)> = kinds
            .into_iter()
            .map(|kind| (kind, Schedule::new(kind, args.timesteps as usize)))
            .collect();
        cli::println!(
            "{:<18} {:>10} {:>10} {:>12} {:>12}",
            "schedule",
            "beta[0]",
            "beta[T-1]",
            "alpha_bar[T-1]",
            "snr[T-1]"
        );
        for (kind, s) in &schedules {
            let last = s.len() - 1;
            let (first, end) = (s.betas[0], s.betas[last]);
            cli::println!(
                "{:<18} {first:>10.6} {end:>10.6} {:>14.3e} {:>12.3e}",
                kind.name(),
                s.alpha_bar[last],
                s.snr(last)
            );
        }
        if let Some(path) = &args.csv {
            files::write(path, csv(&schedules).as_bytes())?;
            cli::println!("wrote {}", path.display());
        }
        plot(&args, &schedules)?;
        cli::println!("wrote {}", args.out.display());
        Ok(())
    })
}

fn csv(schedules: &[(BetaSchedule, Schedule)]) -> String {
    let mut out = "schedule,timestep,beta,alpha,alpha_bar,snr,\
        posterior_variance,posterior_mean_x0,posterior_mean_x_t\n"
        .to_string();
    for (kind, s) in schedules {
        for t in 0..s.len() {
            let (x0, x_t) = s.posterior_mean_coefficients(t);
            let values = [
                s.betas[t],
                s.alphas[t],
                s.alpha_bar[t],
                s.snr(t),
                s.posterior_variance(t),
                x0,
                x_t,
            ];
            let values: Vec<String> = values.iter().map(|v| format!("{v:e}")).collect();
            writeln!(out, "{},{t},{}", kind.name(), values.join(","))
                .expect("a string takes everything");
        }
    }
    out
}

fn plot(
    args: &Args,
    schedules: &[(BetaSchedule, Schedule)],
) -> Result<(), figures::FigureError> {
    let (label, scale) = match args.plot {
        Quantity::Betas => ("beta: noise added at the step", Scale::Linear),
        Quantity::AlphaBar => ("alpha_bar: share of the image left", Scale::Linear),
        Quantity::Snr => ("signal-to-noise ratio", Scale::Logarithmic),
        Quantity::PosteriorVariance => ("posterior variance", Scale::Logarithmic),
    };
    let color = |kind: &BetaSchedule| match kind {
        BetaSchedule::Linear => palette::NOISE,
        BetaSchedule::ScaledLinear => palette::PREDICTION,
        BetaSchedule::SquaredcosCapV2 => palette::SIGNAL,
        BetaSchedule::Sigmoid => palette::DATA,
    };
    let series: Vec<Series> = schedules
        .iter()
        .map(|(kind, s)| {
            let value = |t: usize| match args.plot {
                Quantity::Betas => s.betas[t],
                Quantity::AlphaBar => s.alpha_bar[t],
                Quantity::Snr => s.snr(t),
                Quantity::PosteriorVariance => s.posterior_variance(t),
            };
            // The first posterior variance is 0, which a logarithmic axis cannot show.
            let first = matches!(args.plot, Quantity::PosteriorVariance) as usize;
            let points = (first..s.len()).map(|t| (t as f64, value(t))).collect();
            Series { name: kind.name().to_string(), points, color: color(kind) }
        })
        .collect();
    figures::line_plot(
        &args.out,
        &Axes { scale, ..Axes::new("timestep", label) },
        &series,
    )
}
