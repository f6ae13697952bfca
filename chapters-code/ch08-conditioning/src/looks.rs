//! Where the pixels look: how their attention to the words is spread over the picture.

use ch04_unet::BlockHook;
use dfdx::prelude::*;
use ops::{Images, Rows, UNetDevice};

use crate::condition::Condition;
use crate::network::{ConditionalUNet, Conditioner, TextHook};
use crate::text::CrossAttention;

// ANCHOR: shares
impl<D: UNetDevice> CrossAttention<D> {
    /// How much each pixel takes from each place in the prompt, as a mean over the
    /// heads: `(batch, places, h, w)`. For each pixel, the shares of all places add up
    /// to 1.
    pub fn shares(&self, x: Images<D>, text: Images<D>) -> Images<D> {
        let q = self.to_q.forward_pixels(self.norm.forward(x));
        let k = self.to_k.forward_pixels(text);
        ops::attention_shares(q, k, self.heads)
    }
}
// ANCHOR_END: shares

/// What one cross-attention looked at.
#[derive(Clone, Debug)]
pub struct Look<D: UNetDevice> {
    /// Where in the U-Net this cross-attention is.
    pub stage: String,
    pub block: usize,
    /// As computed by [`CrossAttention::shares`].
    pub shares: Images<D>,
}

// ANCHOR: share_map
/// The share of one place in the prompt at every pixel of the first image, which has
/// this height and width: the mean over the cross-attentions, each at its own
/// resolution.
pub fn share_map<D: UNetDevice>(
    looks: &[Look<D>],
    place: usize,
    [height, width]: [usize; 2],
) -> Vec<f32> {
    let mut map = vec![0.0; height * width];
    for look in looks {
        let (_, _, h, w) = *look.shares.shape();
        let shares = look.shares.as_vec();
        for (i, sum) in map.iter_mut().enumerate() {
            let (y, x) = (i / width * h / height, i % width * w / width);
            *sum += shares[(place * h + y) * w + x] / looks.len() as f32;
        }
    }
    map
}
// ANCHOR_END: share_map

/// Carries the text to the pixels, and records where they look.
struct Recorder<'a, D: UNetDevice> {
    hook: TextHook<'a, D, NoneTape>,
    looks: Vec<Look<D>>,
}

impl<D: UNetDevice> BlockHook<D, NoneTape> for Recorder<'_, D> {
    fn time(&mut self, time: Rows<D>) -> Rows<D> {
        self.hook.time(time)
    }

    fn after(&mut self, stage: &str, block: usize, x: Images<D>) -> Images<D> {
        if let Some(look) = self.hook.look_at(stage, block) {
            let shares = look.shares(x.clone(), self.hook.text());
            self.looks.push(Look { stage: stage.to_string(), block, shares });
        }
        self.hook.after(stage, block, x)
    }
}

impl<D: UNetDevice> ConditionalUNet<D> {
    /// Like [`ConditionalUNet::forward`], but also returns what each cross-attention looked at:
    /// nothing for a network that is told classes.
    ///
    /// # Panics
    /// As [`ConditionalUNet::forward`].
    pub fn forward_with_looks(
        &self,
        x_t: Images<D>,
        timesteps: &[usize],
        conditions: &[Condition],
    ) -> (Images<D>, Vec<Look<D>>) {
        let Conditioner::Text(reader) = &self.conditioner else {
            return (self.forward(x_t, timesteps, conditions), Vec::new());
        };
        let mut recorder =
            Recorder { hook: reader.hook(conditions), looks: Vec::new() };
        let output = self.unet.forward_with(x_t, timesteps, &mut recorder);
        (output, recorder.looks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Tokenizer;
    use crate::TextConfig;
    use ch03_forward::{rng, standard_normal};
    use ops::AutoDevice;

    const PLACES: usize = 5;

    fn look(heads: usize) -> (AutoDevice, CrossAttention<AutoDevice>) {
        let device = ops::open_device(0).unwrap();
        let text = TextConfig {
            vocabulary: Tokenizer::new(["a cat"]),
            max_words: PLACES,
            width: 8,
            layers: 0,
            heads,
            groups: 4,
            bag_of_words: false,
        };
        let look = CrossAttention::new(&device, &mut rng(1, 0), 8, 4, &text);
        (device, look)
    }

    /// A pixel receives what each place offers, in proportion to that place's share.
    #[test]
    fn shares_are_what_attention_mixes_with() {
        let (device, look) = look(1);
        let x = standard_normal(&device, (2, 8, 3, 4), &mut rng(2, 0));
        let text = standard_normal(&device, (2, 8, 1, PLACES), &mut rng(3, 0));
        let shares = look.shares(x.clone(), text.clone()).as_vec();
        let values = look.to_v.forward_pixels(text.clone()).as_vec();
        let mut mixed = vec![0.0; 2 * 8 * 12];
        for (i, mixed) in mixed.iter_mut().enumerate() {
            let (image, channel, pixel) = (i / 96, i / 12 % 8, i % 12);
            for place in 0..PLACES {
                *mixed += shares[(image * PLACES + place) * 12 + pixel]
                    * values[(image * 8 + channel) * PLACES + place];
            }
        }
        let mixed = ops::tensor(&device, mixed, (2, 8, 3, 4));
        let expected =
            look.to_out.forward_pixels_plus_images(mixed, x.clone()).as_vec();
        for (found, expected) in look.forward(x, text).as_vec().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn the_shares_of_a_pixel_sum_to_one() {
        let (device, look) = look(2);
        let x = standard_normal(&device, (1, 8, 4, 4), &mut rng(2, 0));
        let text = standard_normal(&device, (1, 8, 1, PLACES), &mut rng(3, 0));
        let shares = look.shares(x, text).as_vec();
        for pixel in 0..16 {
            let of_pixel = shares.iter().skip(pixel).step_by(16);
            assert!((of_pixel.sum::<f32>() - 1.0).abs() < 1e-5, "pixel {pixel}");
        }
    }
}
