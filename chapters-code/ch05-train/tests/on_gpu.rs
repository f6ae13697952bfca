//! Training and drawing on a GPU give the same results as on the processor, up to rounding.
#![cfg(feature = "cuda")]

use ch01_tensors::{Cats, Split};
use ch04_unet::model_dir::SchedulerConfig;
use ch04_unet::{BlockType, Preset, UNetConfig};
use ch05_train::{OptimizerConfig, TrainConfig, Trainer};
use ch06_sampling::sample_images;
use dfdx::prelude::*;
use ops::UNetDevice;

/// Every kind of layer, and only a few timesteps.
fn config() -> TrainConfig {
    let attention = UNetConfig {
        down_block_types: vec![BlockType::DownBlock2D, BlockType::AttnDownBlock2D],
        up_block_types: vec![BlockType::AttnUpBlock2D, BlockType::UpBlock2D],
        attention_head_dim: Some(8),
        add_attention: true,
        ..Preset::Tiny.config([3, 16, 16])
    };
    TrainConfig {
        unet: attention,
        objective: Default::default(),
        scheduler: SchedulerConfig { num_train_timesteps: 10, ..Default::default() },
        optimizer: OptimizerConfig { warmup_steps: 10, ..Default::default() },
        batch_size: 2,
        ema_decay: 0.9,
        seed: 3,
    }
}

/// The losses of twenty steps, and an image that the model then draws.
fn train_and_sample<D: UNetDevice>(device: &D) -> (Vec<f32>, Vec<f32>) {
    let mut trainer = Trainer::new(device, config()).unwrap();
    let dataset = Cats::new(Split::Train);
    let losses = (0..20).map(|_| trainer.train_step(&dataset).unwrap().loss).collect();
    let images = sample_images(device, &trainer.model(), [3, 16, 16], 0..1, 0);
    (losses, images.as_vec())
}

#[test]
fn twenty_steps_and_an_image() {
    let (losses, images) = train_and_sample(&ops::open_device(0).unwrap());
    let (expected_losses, expected_images) = train_and_sample(&Cpu::default());
    for (step, (loss, expected)) in losses.iter().zip(&expected_losses).enumerate() {
        println!("{step}: {loss} on the GPU, {expected} on the processor");
        assert!(
            (loss - expected).abs() <= 1e-3 * expected,
            "step {step}: {loss} instead of {expected}"
        );
    }
    for (i, (value, expected)) in images.iter().zip(&expected_images).enumerate() {
        assert!(
            (value - expected).abs() <= 1e-2,
            "image value {i}: {value} instead of {expected}"
        );
    }
}
