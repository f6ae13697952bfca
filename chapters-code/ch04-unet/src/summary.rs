//! What each stage of the network costs.

use dfdx::prelude::*;
use ops::layers::{Parameter, Parameters};
use ops::{Images, UNetDevice};

use crate::unet::BlockHook;
use crate::UNet;

/// One stage: the shape of its output, and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSummary {
    /// The stage's name, with which its parameters' names begin.
    pub name: String,
    /// Channels, height and width of its output.
    pub shape: [usize; 3],
    pub parameters: usize,
    /// Multiplications (each with an addition) for one image.
    pub multiply_adds: usize,
}

/// Sends `x_t` through the network and lists its stages.
///
/// # Panics
/// If `x_t` does not fit the network.
pub fn summary<D: UNetDevice>(unet: &mut UNet<D>, x_t: Images<D>) -> Vec<StageSummary> {
    let timesteps = vec![0; x_t.shape().0];
    let mut stages = vec![StageSummary {
        name: "time_embedding".into(),
        shape: [unet.config().time_width(), 1, 1],
        parameters: 0,
        multiply_adds: 0,
    }];
    unet.forward_with(x_t, &timesteps, &mut Shapes(&mut stages));
    unet.parameters().iter().for_each(|parameter| count(&mut stages, parameter));
    stages
}

/// Notes the shape of what leaves each stage.
struct Shapes<'a>(&'a mut Vec<StageSummary>);

impl<D: UNetDevice, T: Tape<f32, D>> BlockHook<D, T> for Shapes<'_> {
    fn after(&mut self, stage: &str, _: usize, x: Images<D, T>) -> Images<D, T> {
        let (_, c, h, w) = *x.shape();
        self.0.retain(|known| known.name != stage);
        self.0.push(StageSummary {
            name: stage.into(),
            shape: [c, h, w],
            parameters: 0,
            multiply_adds: 0,
        });
        x
    }
}

/// Counts a parameter, and the multiplications with it, towards the totals of its stage.
fn count<D: UNetDevice>(stages: &mut [StageSummary], parameter: &Parameter<'_, D>) {
    let name = parameter.name.replace("conv_norm_out", "conv_out");
    let belongs =
        |stage: &&mut StageSummary| name.starts_with(&format!("{}.", stage.name));
    let stage = stages
        .iter_mut()
        .filter(belongs)
        .max_by_key(|s| s.name.len())
        .expect("every parameter belongs to a stage");
    let (shape, numel) = (parameter.shape(), parameter.num_elements());
    stage.parameters += numel;
    let pixels = stage.shape[1] * stage.shape[2];
    let once_per_image = shape.len() == 2 && !name.contains("attentions");
    if shape.len() > 1 {
        stage.multiply_adds += if once_per_image { numel } else { numel * pixels };
    }
    if name.ends_with("to_q.weight") {
        // Every pixel with every other: scores, then weighted sums.
        stage.multiply_adds += 2 * pixels * pixels * shape[0];
    }
}
