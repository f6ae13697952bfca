//! Classifier-free guidance (Ho & Salimans 2022).

use std::ops::Range;

use dfdx::prelude::*;
use ops::{Images, Replicas, UNetDevice};

use crate::condition::Condition;
use crate::network::ConditionalUNet;

// ANCHOR: guidance
/// What is asked for, and how strongly.
#[derive(Clone, Debug)]
pub struct Guidance {
    /// One for each image.
    pub conditions: Vec<Condition>,
    /// What to lead each image away from: [`Condition::Nothing`], or what must
    /// not be there.
    pub negative: Vec<Condition>,
    /// How far to go from the answer under `negative` towards the answer under
    /// `conditions`, and beyond: 0 ignores the condition, 1 is the network as it was
    /// trained, and anything larger insists.
    pub guidance_scale: f64,
}
// ANCHOR_END: guidance

impl Guidance {
    // ANCHOR: answer
    /// The network's answer to x_t at t, guided: uncond + guidance_scale · (cond -
    /// uncond). This is eq. 6 of the paper, whose w is our `guidance_scale` - 1.
    /// For a given x_t, the noise, the image and v are linear functions of each other,
    /// so it does not matter which of them the network predicts.
    pub fn answer<D: UNetDevice>(
        &self,
        network: &ConditionalUNet<D>,
        x_t: &Images<D>,
        t: usize,
    ) -> Images<D> {
        let timesteps = vec![t; x_t.shape().0];
        let ask = |conditions| network.forward(x_t.clone(), &timesteps, conditions);
        // An answer that would be multiplied by 0 need not be asked for.
        if self.guidance_scale == 1.0 {
            return ask(&self.conditions);
        }
        let uncond = ask(&self.negative);
        if self.guidance_scale == 0.0 {
            return uncond;
        }
        let cond = ask(&self.conditions);
        uncond.clone() + (cond - uncond) * self.guidance_scale as f32
    }
    // ANCHOR_END: answer
}

impl Guidance {
    /// [`Guidance::answer`] as a function of x_t and t. Copies of the network work on parts of a
    /// batch side by side.
    pub fn denoiser<D: UNetDevice>(
        self,
        device: &D,
        network: &ConditionalUNet<D>,
    ) -> impl Fn(&Images<D>, usize) -> Images<D> {
        let replicas = Replicas::new(device, network);
        move |x_t, t| {
            replicas.answer(x_t, |network, x_t, images| {
                self.for_images(images).answer(network, &x_t, t)
            })
        }
    }

    /// The guidance for the given images.
    fn for_images(&self, images: Range<usize>) -> Self {
        let [conditions, negative] =
            [&self.conditions, &self.negative].map(|all| all[images.clone()].to_vec());
        Self { conditions, negative, ..*self }
    }
}
