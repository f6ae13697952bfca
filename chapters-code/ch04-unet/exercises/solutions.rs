//! One way to answer.

use ch04_unet::{time_embedding, BlockHook, UNet, UNetConfig};
use dfdx::prelude::*;
use ops::{AutoDevice, Images};

// ANCHOR: solutions
/// How many numbers a convolution with a square kernel and a bias holds.
pub fn conv_parameters(cin: usize, cout: usize, kernel: usize) -> usize {
    cout * (cin * kernel * kernel + 1)
}

/// The cosine of the angle between the embeddings of two timesteps: 1 if they are the
/// same.
pub fn similarity(a: usize, b: usize, width: usize) -> f32 {
    let device: AutoDevice = ops::open_device(0).expect("a device");
    let both = time_embedding(&device, &[a, b], width, true, 0.0).as_vec();
    let (a, b) = both.split_at(width);
    // Every pair of a sine and a cosine has length 1, so both vectors have length
    // √(width / 2).
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>() / (width / 2) as f32
}

/// The channels of every skip, in the order in which the way down builds the skips.
pub fn skips(config: &UNetConfig) -> Vec<usize> {
    let widths = &config.block_out_channels;
    // One after the first convolution, one after every block, one after every halving;
    // the last level does not halve.
    let mut skips = vec![widths[0]];
    for (level, &width) in widths.iter().enumerate() {
        let halving = (level + 1 < widths.len()) as usize;
        skips.extend(vec![width; config.layers_per_block + halving]);
    }
    skips
}
// ANCHOR_END: solutions

// ANCHOR: project
/// Replaces all skips to the blocks of a stage with zeros.
struct Cut<'a> {
    stage: &'a str,
}

impl BlockHook<AutoDevice, NoneTape> for Cut<'_> {
    fn skip(
        &mut self,
        stage: &str,
        _block: usize,
        x: Images<AutoDevice>,
    ) -> Images<AutoDevice> {
        if stage == self.stage {
            x * 0.0
        } else {
            x
        }
    }
}

/// The network's answer to x_t `(batch, channels, height, width)` at timestep `t`, if
/// all skips to the blocks of `stage` carry zeros.
pub fn without_skips(
    unet: &UNet<AutoDevice>,
    x_t: &Images<AutoDevice>,
    t: usize,
    stage: &str,
) -> Images<AutoDevice> {
    let timesteps = vec![t; x_t.shape().0];
    unet.forward_with(x_t.clone(), &timesteps, &mut Cut { stage })
}
// ANCHOR_END: project
