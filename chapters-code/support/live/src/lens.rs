//! Chapter 4: what a trained network computes along the way, where its pixels look, and what a skip
//! is worth.

use std::path::Path;

use ch01_tensors::{batch, Cats, Dataset, Split};
use ch03_forward::{rng, standard_normal};
use ch04_unet::{model_dir, BlockHook, UNet};
use dfdx::prelude::*;
use figures::Picture;
use ops::{Images, Rows};
use serde::Deserialize;

use crate::drawing::Drawing;
use crate::sampling::CATS;
use crate::{files, Frame, Frames};

/// A noisy cat, the clean one that the network predicts, the places that one pixel looks at in a
/// block with attention, and the channels after that block.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lens {
    cat: usize,
    t: usize,
    /// Name of the stage, and number of the block: "up_blocks.1/0".
    block: String,
    cut: Cut,
    /// The place of the pixel that looks.
    column: usize,
    row: usize,
}

/// The skips that carry nothing.
#[derive(Clone, Copy, PartialEq, Deserialize)]
enum Cut {
    #[serde(rename = "none")]
    Nothing,
    #[serde(rename = "4×4")]
    Four,
    #[serde(rename = "8×8")]
    Eight,
    #[serde(rename = "16×16")]
    Sixteen,
}

impl Cut {
    /// The side of the skips.
    fn side(self) -> Option<usize> {
        match self {
            Self::Nothing => None,
            Self::Four => Some(4),
            Self::Eight => Some(8),
            Self::Sixteen => Some(16),
        }
    }
}

/// Keeps what goes into one block and what comes out, and cuts skips of one size.
struct Probe {
    stage: String,
    block: usize,
    cut: Cut,
    /// What every block is told about the timestep.
    time: Option<Rows<Cpu>>,
    /// What the next block will be given.
    next: Option<Images<Cpu>>,
    seen: Option<[Images<Cpu>; 2]>,
}

impl BlockHook<Cpu, NoneTape> for Probe {
    fn time(&mut self, time: Rows<Cpu>) -> Rows<Cpu> {
        self.time = Some(ops::silu(time.clone()));
        time
    }

    fn after(&mut self, stage: &str, block: usize, x: Images<Cpu>) -> Images<Cpu> {
        let given = self.next.replace(x.clone());
        if (stage, block) == (&self.stage, self.block) {
            self.seen = Some([given.unwrap_or_else(|| x.clone()), x.clone()]);
        }
        x
    }

    fn skip(&mut self, _stage: &str, _block: usize, x: Images<Cpu>) -> Images<Cpu> {
        let x = match self.cut.side() == Some(x.shape().2) {
            true => x * 0.0,
            false => x,
        };
        self.next = self.next.take().map(|before| ops::concat_channels(before, x.clone()));
        x
    }
}

impl Probe {
    /// How much the pixel at (row, column) of the cat takes from each pixel of the block, if the
    /// block has attention.
    fn shares(&self, network: &UNet<Cpu>, [row, column]: [usize; 2]) -> Option<Vec<f32>> {
        let stage = network.stage(&self.stage)?;
        let attention = stage.attentions.get(self.block)?;
        let ([given, _], time) = (self.seen.clone()?, self.time.clone()?);
        let shares = attention.shares(stage.resnets[self.block].forward(given, time));
        let (_, pixels, side, _) = *shares.shape();
        let at = row * side / SIDE * side + column * side / SIDE;
        Some(shares.as_vec().chunks(pixels).map(|place| place[at]).collect())
    }
}

/// Pixels along each side of a cat.
const SIDE: usize = 16;
/// In pixels of the picture: the side of each cat, the gap after it, and the width of the space for
/// the channels.
const CAT: usize = 128;
const GAP: usize = 3;
const ROOM: usize = 349;

/// The side at which each channel is drawn (a whole multiple of its own side) and the number of
/// channels in a row, chosen so that together the channels are about as high as the column of cats.
fn size_of_channels(count: usize, side: usize, height: usize) -> (usize, usize) {
    let sizes = (1..=CAT / side).map(|scale| scale * side);
    let rows = |size: usize, columns| count.div_ceil(columns) * (size + GAP) - GAP;
    let grids = sizes.map(|size| (size, ROOM / (size + GAP)));
    grids.min_by_key(|&(size, columns)| rows(size, columns).abs_diff(height)).expect("a size")
}

impl Lens {
    pub fn frames(self) -> anyhow::Result<Frames> {
        let (t, cats) = (self.t, Cats::new(Split::HeldOut));
        let last = cats.len() - 1;
        anyhow::ensure!(self.cat <= last, "cat {}: there are cats 0 to {last}", self.cat);
        let device = crate::device();
        let model = model_dir::load_from(&*files(), &device, Path::new(CATS))?;
        let (takes, size) = (model.image_shape(None)?, cats.shape());
        anyhow::ensure!(takes == size, "the network takes {takes:?}, and cats are {size:?}");
        let last = model.diffusion.schedule.len() - 1;
        anyhow::ensure!(t <= last, "t = {t}: the schedule has timesteps 0 to {last}");
        let (stage, block) = self.block.split_once('/').unwrap_or((&self.block, "0"));
        let pixel = [self.row, self.column];
        anyhow::ensure!(
            pixel.iter().all(|place| *place < SIDE),
            "row = {}, column = {}: a cat has rows and columns 0 to {}",
            self.row,
            self.column,
            SIDE - 1
        );
        let (stage, block) = (stage.to_string(), block.parse()?);
        let mut probe = Probe { stage, block, cut: self.cut, time: None, next: None, seen: None };
        let x0 = batch(&device, &cats, &[self.cat]);
        let eps = standard_normal(&device, *x0.shape(), &mut rng(0, self.cat as u64));
        let x_t = model.diffusion.q_sample(&x0, &[t], &eps);
        let output = model.network.forward_with(x_t.clone(), &[t], &mut probe);
        let predicted = model.diffusion.x0(&x_t, &[t], &output);
        let shares = probe.shares(&model.network, pixel);
        let Some([_, channels]) = probe.seen else {
            anyhow::bail!("block = {}: the network has no such block", self.block)
        };
        let (_, count, side, _) = *channels.shape();
        let wrong = (predicted.clone() - x0).square().mean::<Rank0, _>().sqrt().as_vec()[0];
        let attention = match &shares {
            Some(shares) => {
                let largest = shares.iter().fold(0.0, |a: f32, b| a.max(*b));
                format!("the pixel takes up to {:.0} % from one place", 100.0 * largest)
            }
            None => "no attention here".into(),
        };
        let caption = format!(
            "t = {t}: the predicted cat is off by {wrong:.3}; {count} channels of {side}×{side}; \
            {attention}"
        );
        let cats = 2 + usize::from(shares.is_some());
        let column = cats * (CAT + GAP) - GAP;
        let (channel_side, columns) = size_of_channels(count, side, column);
        let height = column.max(count.div_ceil(columns) * (channel_side + GAP) - GAP);
        let width = CAT + GAP + ROOM;
        let mut drawing = Drawing::new(width as u32, height as u32);
        let mut put = |values: &[f32], channels, side: usize, size: usize, x: usize, y: usize| {
            let picture = Picture { values, channels, height: side, width: side };
            drawing.put(&figures::grid(&[picture], 1, size / side), x as i32, y as i32);
        };
        put(&x_t.as_vec(), 3, SIDE, CAT, 0, 0);
        put(&predicted.as_vec(), 3, SIDE, CAT, 0, CAT + GAP);
        if let Some(shares) = &shares {
            put(&brightest_white(shares), 1, side, CAT, 0, 2 * (CAT + GAP));
        }
        for (i, channel) in channels.as_vec().chunks(side * side).enumerate() {
            let (column, row) = (i % columns, i / columns);
            let x = CAT + 2 * GAP + column * (channel_side + GAP);
            put(&balanced(channel), 1, side, channel_side, x, row * (channel_side + GAP));
        }
        for top in (0..cats).map(|cat| cat * (CAT + GAP)) {
            let [y, x] = pixel.map(|place| place * CAT / SIDE);
            drawing.frame((x, top + y), CAT / SIDE);
        }
        Ok(Box::new(std::iter::once(Frame { picture: drawing.finish(), columns: 0, caption })))
    }
}

/// Shares as pixel values: 0 is black, and the largest is white.
fn brightest_white(shares: &[f32]) -> Vec<f32> {
    let largest = shares.iter().fold(0.0, |a: f32, b| a.max(*b));
    shares.iter().map(|share| 2.0 * share / largest - 1.0).collect()
}

/// Scaled so that -1 to 1 spans two standard deviations on either side of the mean.
fn balanced(values: &[f32]) -> Vec<f32> {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>();
    let deviation = (squares / values.len() as f32).sqrt().max(1e-6);
    values.iter().map(|v| (v - mean) / (2.0 * deviation)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ch04_unet::Preset;

    /// The input that the probe saw, put through the block, gives the output that it saw.
    #[test]
    fn the_probe_sees_what_a_block_is_given() {
        let device = crate::device();
        let config = Preset::Cats.config([3, SIDE, SIDE]);
        let network = UNet::new(&device, &config, &mut rng(0, 0)).unwrap();
        let x_t = standard_normal(&device, (1, 3, SIDE, SIDE), &mut rng(1, 0));
        for (stage, block) in [
            ("down_blocks.0", 0),
            ("down_blocks.1", 0),
            ("mid_block", 0),
            ("up_blocks.0", 1),
            ("up_blocks.1", 0),
            ("up_blocks.1", 1),
            ("up_blocks.2", 0),
        ] {
            let (cut, stage) = (Cut::Eight, stage.to_string());
            let mut probe = Probe { stage, block, cut, time: None, next: None, seen: None };
            network.forward_with(x_t.clone(), &[300], &mut probe);
            let [given, out] = probe.seen.unwrap();
            let stage = network.stage(&probe.stage).unwrap();
            let again = stage.block(block, given, probe.time.unwrap());
            assert_eq!(again.as_vec(), out.as_vec(), "{} {block}", probe.stage);
        }
    }
}
