//! Draws our cat network as the letter that it is named after: u_net.svg.

use ch04_unet::{Preset, UNetConfig};
use figures::palette::{INK, NOISE, PREDICTION, SIGNAL};

/// A block, or the picture that goes in or comes out.
struct Shape {
    /// Name of the stage and number of the block, if a figure can show the block.
    name: Option<String>,
    channels: usize,
    side: usize,
    attends: bool,
    color: (u8, u8, u8),
}

/// A shape in its place, in points from the left and the top.
struct Placed {
    shape: Shape,
    left: usize,
    top: usize,
}

const WIDTH: usize = 520;
const GAP: usize = 22;
/// The upper edge of the first level, and the distance from one level to the next.
const TOP: usize = 48;
const DOWN: usize = 118;
/// How much farther towards the middle each level begins than the one above it.
const INDENT: usize = 46;

impl Shape {
    fn new(
        name: Option<String>,
        channels: usize,
        side: usize,
        color: (u8, u8, u8),
    ) -> Self {
        Self { name, channels, side, attends: false, color }
    }

    fn attending(self, attends: bool) -> Self {
        Self { attends, ..self }
    }

    fn width(&self) -> usize {
        8 + self.channels / 2
    }

    fn height(&self) -> usize {
        4 * self.side
    }
}

impl Placed {
    fn middle(&self) -> usize {
        self.left + self.shape.width() / 2
    }

    fn right(&self) -> usize {
        self.left + self.shape.width()
    }

    fn centre(&self) -> usize {
        self.top + self.shape.height() / 2
    }

    fn bottom(&self) -> usize {
        self.top + self.shape.height()
    }

    fn svg(&self) -> String {
        let (left, top, shape) = (self.left, self.top, &self.shape);
        let [width, height] = [shape.width(), shape.height()];
        let (color, middle, below) =
            (hex(shape.color), self.middle(), self.bottom() + 16);
        let ring = if shape.attends {
            format!(
                "<circle cx=\"{middle}\" cy=\"{}\" r=\"5\" fill=\"none\" stroke=\"#fff\" \
                 stroke-width=\"2\"/>\n",
                self.centre()
            )
        } else {
            String::new()
        };
        let name = shape.name.as_ref();
        let (link, title) = match name {
            Some(name) => {
                let title = name.replace('/', ", block ");
                (
                    format!(" data-set=\"block={name}\""),
                    format!("<title>{title}</title>\n"),
                )
            }
            None => (String::new(), String::new()),
        };
        format!(
            "<g{link}>\n{title}<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" \
             height=\"{height}\" rx=\"2\" fill=\"{color}\"/>\n{ring}<text x=\"{middle}\" \
             y=\"{below}\">{}</text>\n</g>\n",
            shape.channels
        )
    }
}

fn hex((red, green, blue): (u8, u8, u8)) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Puts shapes side by side, starting at `left`.
fn row(shapes: Vec<Shape>, mut left: usize, top: usize) -> Vec<Placed> {
    let place = |shape: Shape| {
        let placed = Placed { left, top, shape };
        left = placed.right() + GAP;
        placed
    };
    shapes.into_iter().map(place).collect()
}

/// A line through some points, with an arrowhead at its end.
fn arrow(points: &[(usize, usize)]) -> String {
    let points = list(points);
    format!("<polyline points=\"{points}\" marker-end=\"url(#head)\"/>\n")
}

/// A skip: an arrow, and an invisible line thick enough to be easy to click.
fn skip(points: &[(usize, usize)]) -> String {
    let broad = format!(
        "<path d=\"M{}\" fill=\"none\" stroke=\"#000\" stroke-opacity=\"0\" \
         stroke-width=\"12\" stroke-dasharray=\"none\"/>\n",
        list(points)
    );
    broad + &arrow(points)
}

fn list(points: &[(usize, usize)]) -> String {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
    points.join(" ")
}

/// The blocks of one level: those on the way down, and those on the way up.
fn level(config: &UNetConfig, level: usize) -> [Vec<Placed>; 2] {
    let widths = &config.block_out_channels;
    let (last, side) = (widths.len() - 1, 16 >> level);
    let block = |stage: &str, number: usize, block: usize| {
        let name = format!("{stage}_blocks.{number}/{block}");
        Shape::new(Some(name), widths[level], side, PREDICTION)
    };
    // The level begins with the output of the first convolution or of a halving.
    let mut down = match level {
        0 => vec![
            Shape::new(None, 3, side, SIGNAL),
            Shape::new(Some("conv_in/0".into()), widths[0], side, PREDICTION),
        ],
        _ => vec![Shape::new(None, widths[level - 1], side, INK)],
    };
    let attends = config.down_block_types[level].has_attention();
    down.extend(
        (0..config.layers_per_block)
            .map(|i| block("down", level, i).attending(attends)),
    );
    let attends = config.up_block_types[last - level].has_attention();
    let mut up: Vec<Shape> = (0..=config.layers_per_block)
        .map(|i| block("up", last - level, i).attending(attends))
        .collect();
    if level == 0 {
        up.push(Shape::new(None, 3, side, NOISE));
    }
    let length = up.iter().map(Shape::width).sum::<usize>() + GAP * (up.len() - 1);
    let top = TOP + level * DOWN;
    let left = 12 + level * INDENT;
    [row(down, left, top), row(up, WIDTH - left - length, top)]
}

/// A level with its skips: from the last shape on the way down to the first on the way up, and so
/// on.
fn draw_level(
    config: &UNetConfig,
    number: usize,
    [down, up]: &[Vec<Placed>; 2],
) -> String {
    let side = 16 >> number;
    let mut svg: String = down.iter().chain(up).map(Placed::svg).collect();
    for pair in down.windows(2).chain(up.windows(2)) {
        let y = pair[0].centre();
        svg += &arrow(&[(pair[0].right() + 2, y), (pair[1].left - 3, y)]);
    }
    let blocks = config.layers_per_block + 1;
    let from = down.iter().rev().take(blocks);
    let mut skips = String::new();
    for (i, (from, to)) in from.zip(up).enumerate() {
        if i == 0 {
            let y = from.centre();
            skips += &skip(&[(from.right() + 2, y), (to.left - 3, y)]);
        } else {
            let (y, left, right) =
                (from.top - 6 - 8 * i, from.right() - 4, to.left + 4);
            let ends = [(left, from.top - 2), (right, to.top - 3)];
            skips += &skip(&[ends[0], (left, y), (right, y), ends[1]]);
        }
    }
    let (x, y) = (WIDTH / 2, up[0].centre() + 20);
    svg += &format!(
        "<g data-set=\"cut={side}×{side}\" data-else=\"cut=none\" \
         stroke-dasharray=\"5 4\">\n<title>skips of {side}×{side}</title>\n{skips}\
         <text x=\"{x}\" y=\"{y}\">skips, {side}×{side}</text>\n</g>\n"
    );
    svg
}

fn main() -> anyhow::Result<()> {
    let config = Preset::Cats.config([3, 16, 16]);
    let last = config.block_out_channels.len() - 1;
    let levels: Vec<_> = (0..=last).map(|number| level(&config, number)).collect();
    let mut body = String::new();
    for (number, both) in levels.iter().enumerate() {
        body += &draw_level(&config, number, both);
    }
    for pair in levels.windows(2) {
        let [[from, to], [upper, lower]] =
            [[&pair[0][0], &pair[1][0]], [&pair[0][1], &pair[1][1]]];
        let (from, to) = (&from[from.len() - 1], &to[0]);
        let turn = from.bottom() + 34;
        let corners = [(from.middle(), from.bottom() + 20), (from.middle(), turn)];
        body += &arrow(&[
            corners[0],
            corners[1],
            (to.middle(), turn),
            (to.middle(), to.top - 3),
        ]);
        body += &label(
            (from.middle() + 14).max(to.middle() + 6),
            turn - 4,
            "start",
            "halve",
        );
        let (from, to) = (&lower[lower.len() - 1], &upper[0]);
        let turn = to.bottom() + 34;
        let corners = [(from.middle(), turn), (to.middle(), turn)];
        let ends = [(from.middle(), from.top - 2), (to.middle(), to.bottom() + 20)];
        body += &arrow(&[ends[0], corners[0], corners[1], ends[1]]);
        body += &label(to.middle() - 14, turn - 4, "end", "double");
    }
    // The middle, below the last level.
    let width = config.block_out_channels[last];
    let names = [0, 1].map(|i| Some(format!("mid_block/{i}")));
    let middle = names.map(|name| Shape::new(name, width, 16 >> last, PREDICTION));
    let [first, second] = middle;
    let middle = vec![first.attending(config.add_attention), second];
    let length = middle.iter().map(Shape::width).sum::<usize>() + GAP;
    let top = TOP + last * DOWN + 70;
    let middle = row(middle, (WIDTH - length) / 2, top);
    body.extend(middle.iter().map(Placed::svg));
    let y = middle[0].centre();
    body += &arrow(&[(middle[0].right() + 2, y), (middle[1].left - 3, y)]);
    let [down, up] = &levels[last];
    let (from, to) = (&down[down.len() - 1], &up[0]);
    let ends = [(from.middle(), from.bottom() + 20), (middle[0].left - 3, y)];
    body += &arrow(&[ends[0], (from.middle(), y), ends[1]]);
    let ends = [(middle[1].right() + 2, y), (to.middle(), to.bottom() + 20)];
    body += &arrow(&[ends[0], (to.middle(), y), ends[1]]);
    body += &label(WIDTH / 2, top - 10, "middle", "middle");
    body += &label(12, 14, "start", "noisy cat");
    body += &label(WIDTH - 12, 14, "end", "answer");
    let height = top + 68;
    body += &label(
        WIDTH / 2,
        height - 8,
        "middle",
        "each block after the first is told the timestep",
    );
    let (ink, style) = (hex(INK), figures::words_style("lines"));
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\">\n{style}<defs><marker id=\"head\" viewBox=\"0 0 8 8\" \
         refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
         <path d=\"M0 0L8 4L0 8Z\" fill=\"{ink}\" stroke=\"none\"/></marker></defs>\n\
         <g font-family=\"sans-serif\" font-size=\"14\" text-anchor=\"middle\">\n\
         <g class=\"lines\">\n{body}</g>\n</g>\n</svg>\n"
    );
    let svg = svg
        .replace("<text ", &format!("<text fill=\"{ink}\" stroke=\"none\" "))
        .replace("<polyline ", &format!("<polyline fill=\"none\" stroke=\"{ink}\" "));
    files::write("u_net.svg", svg.as_bytes())?;
    Ok(())
}

fn label(x: usize, y: usize, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>\n")
}
