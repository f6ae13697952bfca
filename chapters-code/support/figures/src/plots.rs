use std::ops::Range;
use std::path::Path;

use plotters::coord::combinators::{BindKeyPoints, WithKeyPoints};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::{palette, FigureError};

/// One curve.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    pub color: (u8, u8, u8),
}

/// How an axis runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    Linear,
    Logarithmic,
}

/// What the axes say.
#[derive(Clone, Debug)]
pub struct Axes<'a> {
    pub x: &'a str,
    pub y: &'a str,
    /// How the horizontal axis runs.
    pub x_scale: Scale,
    /// How the vertical axis runs.
    pub scale: Scale,
}

impl<'a> Axes<'a> {
    /// Two linear axes.
    pub fn new(x: &'a str, y: &'a str) -> Self {
        Self { x, y, x_scale: Scale::Linear, scale: Scale::Linear }
    }

    /// The same with a logarithmic horizontal axis.
    pub fn log_x(self) -> Self {
        Self { x_scale: Scale::Logarithmic, ..self }
    }

    /// The same with a logarithmic vertical axis.
    pub fn log_y(self) -> Self {
        Self { scale: Scale::Logarithmic, ..self }
    }
}

/// Up to this many points get a dot each; a single point would not be seen otherwise.
const FEW: usize = 12;

/// Small, with large letters: on a phone a plot is 330 pixels wide.
const SIZE: (u32, u32) = (560, 400);
const LETTERS: u32 = 19;
/// About this many numbers on an axis.
const LABELS: usize = 6;

fn rgb((r, g, b): (u8, u8, u8)) -> RGBColor {
    RGBColor(r, g, b)
}

fn failed(e: impl std::fmt::Display) -> FigureError {
    FigureError::Draw(e.to_string())
}

/// A number on an axis, without noise after the digits that matter.
fn number(v: f64) -> String {
    if v.abs() < 1e-12 {
        return "0".into(); // what rounding made of 0
    }
    if !(1e-3..1e6).contains(&v.abs()) {
        return format!("{v:.0e}");
    }
    let text = format!("{v:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// Whether a value can have a place on an axis; sums of values beyond the limit may not be finite.
fn has_place(v: f64) -> bool {
    v.abs() < 1e100
}

/// The range of the finite values, widened if it would be a single value.
fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .filter(|v| has_place(*v))
        .fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
    match (high - low).abs() {
        _ if low > high => (0.1, 1.0), // nothing to show
        0.0 if low == 0.0 => (-0.5, 0.5),
        0.0 => (low - 0.5 * low.abs(), high + 0.5 * low.abs()),
        _ => (low, high),
    }
}

/// A logarithmic axis. It names 1, 2 and 5 times each power of ten, or, where that would be
/// too many, the powers alone.
fn logarithmic(range: Range<f64>) -> WithKeyPoints<LogCoord<f64>> {
    let exponents = range.start.log10().floor() as i32..=range.end.log10().ceil() as i32;
    let named = |factors: &[f64]| -> Vec<f64> {
        let values = exponents.clone().flat_map(|e| factors.iter().map(move |f| f * 10f64.powi(e)));
        values.filter(|v| range.contains(v) || *v == range.end).collect()
    };
    let few = named(&[1.0, 2.0, 5.0]);
    let labels = if few.len() <= 9 { few } else { named(&[1.0]) };
    range.log_scale().with_key_points(labels)
}

/// Draws curves with a legend into an SVG file.
///
/// # Errors
/// If the file cannot be written.
pub fn line_plot(
    path: impl AsRef<Path>,
    axes: &Axes,
    series: &[Series],
) -> Result<(), FigureError> {
    Ok(files::write(path, line_svg(axes, series)?.as_bytes())?)
}

/// Draws curves with a legend and error bars into an SVG file. Each series comes with a number for
/// each of its points: half the height of the point's bar.
///
/// # Errors
/// If the file cannot be written.
pub fn spread_plot(
    path: impl AsRef<Path>,
    axes: &Axes,
    series: &[(Series, Vec<f64>)],
) -> Result<(), FigureError> {
    let (series, spreads): (Vec<Series>, Vec<Vec<f64>>) = series.iter().cloned().unzip();
    Ok(files::write(path, svg(axes, &series, &spreads)?.as_bytes())?)
}

/// A series for [`spread_plot`]: at each point the mean and the standard deviation of what was
/// measured there, twice or more.
pub fn measured(
    name: &str,
    color: (u8, u8, u8),
    points: impl IntoIterator<Item = (f64, Vec<f64>)>,
) -> (Series, Vec<f64>) {
    let spread = |(x, values): (f64, Vec<f64>)| {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        ((x, mean), (squares / (count - 1.0)).sqrt())
    };
    let (points, deviations) = points.into_iter().map(spread).unzip();
    (Series { name: name.into(), points, color }, deviations)
}

/// Curves with a legend as an SVG.
pub(crate) fn line_svg(axes: &Axes, series: &[Series]) -> Result<String, FigureError> {
    svg(axes, series, &[])
}

fn svg(axes: &Axes, series: &[Series], spreads: &[Vec<f64>]) -> Result<String, FigureError> {
    let usable = |scale: Scale, v: f64| scale == Scale::Linear || v > 0.0;
    let points = || series.iter().flat_map(|s| s.points.iter());
    let ends = || bars(series, spreads).flat_map(|(x, low, high)| [(x, low), (x, high)]);
    let (left, right) = bounds(points().map(|p| p.0).filter(|&x| usable(axes.x_scale, x)));
    let (low, high) =
        bounds(points().copied().chain(ends()).map(|p| p.1).filter(|&y| usable(axes.scale, y)));
    let margin = 0.04 * (high - low);
    let linear = low - margin..high + margin;
    let log = || logarithmic(low / 1.3..high * 1.3);
    match (axes.x_scale, axes.scale) {
        (Scale::Linear, Scale::Linear) => draw(axes, series, spreads, left..right, linear),
        (Scale::Linear, Scale::Logarithmic) => draw(axes, series, spreads, left..right, log()),
        (Scale::Logarithmic, Scale::Linear) => {
            draw(axes, series, spreads, logarithmic(left..right), linear)
        }
        (Scale::Logarithmic, Scale::Logarithmic) => {
            draw(axes, series, spreads, logarithmic(left..right), log())
        }
    }
}

/// Every error bar: where it stands, where it begins and where it ends. On a logarithmic axis there
/// is no place for a bar that reaches below 0, so none goes down by more than nine tenths of the
/// value.
fn bars<'a>(
    series: &'a [Series],
    spreads: &'a [Vec<f64>],
) -> impl Iterator<Item = (f64, f64, f64)> + 'a {
    series.iter().zip(spreads).flat_map(|(s, spread)| bars_of(s, spread))
}

fn bars_of<'a>(
    series: &'a Series,
    spread: &'a [f64],
) -> impl Iterator<Item = (f64, f64, f64)> + 'a {
    let bars = series.points.iter().zip(spread).filter(|(_, spread)| **spread > 0.0);
    bars.map(|(&(x, y), &spread)| (x, (y - spread).max(0.1 * y.abs()), y + spread))
}

fn draw<X, Y>(
    axes: &Axes,
    series: &[Series],
    spreads: &[Vec<f64>],
    xs: X,
    ys: Y,
) -> Result<String, FigureError>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut svg = String::new();
    {
        // No background: the page shows through, light or dark.
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let ink = rgb(palette::INK);
        let text = ("sans-serif", LETTERS).into_font().color(&ink);
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .margin_right(28) // half of the last label
            .x_label_area_size(56)
            .y_label_area_size(76)
            .build_cartesian_2d(xs, ys)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(ink.mix(0.25))
            .axis_style(ink)
            .label_style(text.clone())
            .x_labels(LABELS)
            .y_labels(LABELS)
            .x_label_formatter(&|v| number(*v))
            .y_label_formatter(&|v| number(*v))
            .x_desc(axes.x)
            .y_desc(axes.y)
            .draw()
            .map_err(failed)?;
        for (i, s) in series.iter().enumerate() {
            let style = rgb(s.color).stroke_width(2);
            let spread = spreads.get(i).map_or(&[][..], |spread| spread);
            for (x, low, high) in bars_of(s, spread) {
                let bar = ErrorBar::new_vertical(x, low, 0.5 * (low + high), high, style, 7);
                chart.draw_series([bar]).map_err(failed)?;
            }
            let points = s.points.iter().copied().filter(|p| has_place(p.0) && has_place(p.1));
            if s.points.len() <= FEW {
                let dots = points.clone().map(|at| Circle::new(at, 4, rgb(s.color).filled()));
                chart.draw_series(dots).map_err(failed)?;
            }
            chart
                .draw_series(LineSeries::new(points, style))
                .map_err(failed)?
                .label(&s.name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
        }
        if series.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .label_font(text)
                .border_style(TRANSPARENT)
                .draw()
                .map_err(failed)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

/// Values whose histogram is to be drawn: name, values, colour.
pub type Values = (String, Vec<f32>, (u8, u8, u8));

/// The densities of several sets of values, as curves over `bins` equal bins of `range`.
pub fn densities(range: (f64, f64), bins: usize, sets: &[Values]) -> Vec<Series> {
    let width = (range.1 - range.0) / bins as f64;
    sets.iter()
        .map(|(name, values, color)| {
            let mut counts = vec![0usize; bins];
            for &v in values {
                let bin = ((v as f64 - range.0) / width).floor();
                if bin >= 0.0 && (bin as usize) < bins {
                    counts[bin as usize] += 1;
                }
            }
            let density = |n: usize| n as f64 / (values.len() as f64 * width);
            let points = counts
                .iter()
                .enumerate()
                .map(|(i, &n)| (range.0 + (i as f64 + 0.5) * width, density(n)));
            Series { name: name.clone(), points: points.collect(), color: *color }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_a_place_are_left_out() {
        let odd = [1e308, -1e308, f64::INFINITY, f64::NAN, 0.0, -1.0, 1e-320, 1e99];
        let points = odd.iter().flat_map(|&x| odd.iter().map(move |&y| (x, y))).collect();
        let series = [Series { name: "odd".into(), points, color: palette::INK }];
        let spread = [vec![1e308; odd.len() * odd.len()]];
        for axes in
            [Axes::new("x", "y"), Axes::new("x", "y").log_y(), Axes::new("x", "y").log_x().log_y()]
        {
            let start = std::time::Instant::now();
            svg(&axes, &series, &spread).unwrap();
            assert!(start.elapsed().as_secs() < 5, "{axes:?}");
        }
    }
}
