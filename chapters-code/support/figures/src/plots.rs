use std::ops::Range;
use std::path::Path;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::prelude::*;

use crate::shades::shaded;
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

/// A curve of up to this many points gets a dot at each; a single point would not be seen
/// otherwise.
const FEW: usize = 12;

/// Small, with large letters: on a phone a plot is 330 pixels wide.
const WIDTH: i32 = 560;
const HEIGHT: i32 = 400;
const LETTERS: i32 = 19;
/// The crate `plotters` rounds all coordinates, so plots are drawn on a grid this many times finer
/// than a point.
const FINE: i32 = 10;
/// About this many intervals on an axis.
const INTERVALS: f64 = 5.0;

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

/// Whether a value can have a place on an axis; sums of values beyond the limit might not be
/// finite.
fn has_place(v: f64) -> bool {
    v.abs() < 1e100
}

/// The range of the finite values, widened if it would otherwise be a single value.
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

/// An axis: its scale, and the values that are labelled, including both ends.
struct Axis {
    scale: Scale,
    labels: Vec<f64>,
}

impl Axis {
    /// An axis that begins and ends where the data do; a logarithmic one begins and ends with a
    /// round number.
    fn exact(scale: Scale, low: f64, high: f64) -> Self {
        if scale == Scale::Logarithmic {
            return Self::rounded(scale, low, high);
        }
        let interval = interval(low, high);
        // Not so near to an end that the numbers would touch.
        let has_room = |v: &f64| (v - low).min(high - v) > 0.45 * interval;
        let between = multiples(interval, low, high).filter(has_room);
        Self { scale, labels: [low].into_iter().chain(between).chain([high]).collect() }
    }

    /// An axis that begins and ends with a round number. A logarithmic one labels 1, 2 and 5 times
    /// each power of ten, or, where that would be too many, the powers alone.
    fn rounded(scale: Scale, low: f64, high: f64) -> Self {
        let labels = match scale {
            Scale::Linear => multiples(interval(low, high), low, high).collect(),
            Scale::Logarithmic => {
                let few = powers(&[1.0, 2.0, 5.0], low, high);
                if few.len() <= 9 {
                    few
                } else {
                    powers(&[1.0], low, high)
                }
            }
        };
        Self { scale, labels }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let place = |v: f64| match self.scale {
            Scale::Linear => v,
            Scale::Logarithmic => v.ln(),
        };
        let Range { start, end } = self.range();
        let share = (place(*value) - place(start)) / (place(end) - place(start));
        from + (share.clamp(-1.0, 2.0) * (to - from) as f64).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.labels.clone()
    }

    fn range(&self) -> Range<f64> {
        self.labels[0]..self.labels[self.labels.len() - 1]
    }
}

/// The distance between the numbers on an axis: 1, 2 or 5 times a power of ten.
fn interval(low: f64, high: f64) -> f64 {
    let least = high / INTERVALS - low / INTERVALS;
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|f| f * power).find(|v| *v >= least).unwrap_or(10.0 * power)
}

/// Multiples of `interval`, from the last that is not above `low` to the first that is not below
/// `high`. (An end may miss its multiple by a rounding error.)
fn multiples(interval: f64, low: f64, high: f64) -> impl Iterator<Item = f64> {
    let first = (low / interval + 1e-9).floor() as i64;
    let last = (high / interval - 1e-9).ceil() as i64;
    (first..=last).map(move |n| n as f64 * interval)
}

/// Like [`multiples`], but for products of these factors and powers of ten.
fn powers(factors: &[f64], low: f64, high: f64) -> Vec<f64> {
    let exponents = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let all: Vec<f64> =
        exponents.flat_map(|e| factors.iter().map(move |f| f * 10f64.powi(e))).collect();
    let first = all.iter().rposition(|v| *v <= low * (1.0 + 1e-9)).unwrap_or(0);
    let last = all.iter().position(|v| *v >= high * (1.0 - 1e-9)).unwrap_or(all.len() - 1);
    all[first..=last].to_vec()
}

/// The rules of a narrow plot: its letters are larger than the plot allows for, so the title of the
/// vertical axis moves to the left, to make room for wider numbers.
fn narrow() -> String {
    let [size, shift] = [18, 5].map(|points| points * FINE);
    format!("text{{font-size:{size}px}}text[transform]{{translate:-{shift}px}}")
}

/// Draws curves with a legend as an SVG file.
///
/// # Errors
/// If the file cannot be written.
pub fn line_plot(
    path: impl AsRef<Path>,
    axes: &Axes,
    series: &[Series],
) -> Result<(), FigureError> {
    Ok(files::write(path, shaded(&line_svg(axes, series)?, &narrow()).as_bytes())?)
}

/// Draws curves with a legend and error bars as an SVG file. Each series comes with a number for
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
    Ok(files::write(path, shaded(&svg(axes, &series, &spreads)?, &narrow()).as_bytes())?)
}

/// A series for [`spread_plot`]: at each point, the mean and the standard deviation of the two or
/// more values measured there.
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

/// Curves with a legend, as an SVG.
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
    let xs = Axis::exact(axes.x_scale, left, right);
    draw(axes, series, spreads, xs, Axis::rounded(axes.scale, low, high))
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

fn draw(
    axes: &Axes,
    series: &[Series],
    spreads: &[Vec<f64>],
    xs: Axis,
    ys: Axis,
) -> Result<String, FigureError> {
    let mut svg = String::new();
    {
        // No background: the page shows through, light or dark.
        let root =
            SVGBackend::with_string(&mut svg, [WIDTH, HEIGHT].map(fine).into()).into_drawing_area();
        let ink = rgb(palette::INK);
        let text = ("sans-serif", LETTERS * FINE).into_font().color(&ink);
        let mut chart = ChartBuilder::on(&root)
            .margin(fine(12))
            .margin_right(fine(28)) // half of the last label
            .x_label_area_size(fine(56))
            .y_label_area_size(fine(76))
            .build_cartesian_2d(xs, ys)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(ink.mix(0.25).stroke_width(fine(1)))
            .axis_style(ink.stroke_width(fine(1)))
            .set_all_tick_mark_size(fine(5))
            .label_style(text.clone())
            .x_label_formatter(&|v| number(*v))
            .y_label_formatter(&|v| number(*v))
            .x_desc(axes.x)
            .y_desc(axes.y)
            .draw()
            .map_err(failed)?;
        for (i, s) in series.iter().enumerate() {
            let style = rgb(s.color).stroke_width(fine(2));
            let spread = spreads.get(i).map_or(&[][..], |spread| spread);
            for (x, low, high) in bars_of(s, spread) {
                let bar = ErrorBar::new_vertical(x, low, 0.5 * (low + high), high, style, fine(7));
                chart.draw_series([bar]).map_err(failed)?;
            }
            let points = s.points.iter().copied().filter(|p| has_place(p.0) && has_place(p.1));
            if s.points.len() <= FEW {
                let dots = points.clone().map(|at| Circle::new(at, fine(4), rgb(s.color).filled()));
                chart.draw_series(dots).map_err(failed)?;
            }
            chart
                .draw_series(LineSeries::new(points, style))
                .map_err(failed)?
                .label(&s.name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18 * FINE, y)], style));
        }
        if series.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .margin(fine(10))
                .legend_area_size(fine(30))
                .label_font(text)
                .border_style(TRANSPARENT)
                .draw()
                .map_err(failed)?;
        }
        root.present().map_err(failed)?;
    }
    let [width, height] = [WIDTH, HEIGHT].map(fine);
    let size = format!("width=\"{width}\" height=\"{height}\"");
    Ok(svg.replacen(&size, &format!("width=\"{WIDTH}\" height=\"{HEIGHT}\""), 1))
}

/// A length in points, converted to units of the grid.
fn fine(points: i32) -> u32 {
    (points * FINE) as u32
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
    fn axes_have_numbers_at_both_ends() {
        let labels = |axis: Axis| axis.labels.into_iter().map(number).collect::<Vec<_>>().join(" ");
        let exact = |low, high| labels(Axis::exact(Scale::Linear, low, high));
        assert_eq!(exact(0.0, 999.0), "0 200 400 600 800 999");
        assert_eq!(exact(-3.0, 3.0), "-3 -2 0 2 3");
        assert_eq!(exact(100.0, 2000.0), "100 500 1000 1500 2000");
        let rounded = |scale, low, high| labels(Axis::rounded(scale, low, high));
        assert_eq!(rounded(Scale::Linear, 0.07, 0.31), "0.05 0.1 0.15 0.2 0.25 0.3 0.35");
        assert_eq!(rounded(Scale::Linear, 0.1, 0.3), "0.1 0.15 0.2 0.25 0.3");
        assert_eq!(rounded(Scale::Logarithmic, 0.3, 20.0), "0.2 0.5 1 2 5 10 20");
        assert_eq!(
            rounded(Scale::Logarithmic, 0.001, 3000.0),
            "0.001 0.01 0.1 1 10 100 1000 10000"
        );
    }

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
