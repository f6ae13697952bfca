//! The stages of a plan, with random weights.

use ops::UNetDevice;
use rand::Rng;

use crate::blocks::{AttentionBlock, Common, ResnetBlock, Stage};
use crate::plan::StagePlan;

impl<D: UNetDevice> Stage<D> {
    /// The blocks of a plan, with random weights from `rng`. The size of the
    /// image does not change.
    pub(crate) fn new(
        device: &D,
        rng: &mut impl Rng,
        common: Common,
        plan: &StagePlan,
    ) -> Self {
        let (mut resnets, mut attentions) = (Vec::new(), Vec::new());
        for (i, &size) in plan.resnets.iter().enumerate() {
            resnets.push(ResnetBlock::new(device, rng, common, size));
            if let Some(&size) = plan.attentions.get(i) {
                attentions.push(AttentionBlock::new(device, rng, common, size));
            }
        }
        Self { resnets, attentions, downsample: None, upsample: None }
    }

    /// The middle of a network. Random numbers are drawn for its residual blocks first,
    /// and the norm of its attention has `groups` groups.
    pub(crate) fn middle(
        device: &D,
        rng: &mut impl Rng,
        common: Common,
        groups: usize,
        plan: &StagePlan,
    ) -> Self {
        let mut resnet = |&size| ResnetBlock::new(device, rng, common, size);
        let resnets = plan.resnets.iter().map(&mut resnet).collect();
        let common = Common { groups, ..common };
        let mut attention = |&size| AttentionBlock::new(device, rng, common, size);
        let attentions = plan.attentions.iter().map(&mut attention).collect();
        Self { resnets, attentions, downsample: None, upsample: None }
    }
}
