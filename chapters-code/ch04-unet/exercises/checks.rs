//! What an answer must pass.

use ch04_unet::{Preset, UNet};
use ops::layers::{Conv2d, Parameters};
use ops::{AutoDevice, Conv2dOptions};

use super::answers::{conv_parameters, similarity, skips};

#[test]
fn a_convolution_is_counted() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    for (cin, cout, kernel) in [(3, 32, 3), (64, 64, 1), (1, 1, 5)] {
        let mut conv = Conv2d::new(
            &device,
            &mut ch03_forward::rng(0, 0),
            cin,
            cout,
            kernel,
            Conv2dOptions::padded(0),
        );
        assert_eq!(conv_parameters(cin, cout, kernel), ops::params::count(&mut conv));
    }
}

#[test]
fn near_timesteps_are_alike() {
    assert!((similarity(17, 17, 32) - 1.0).abs() < 1e-5);
    assert!(
        (similarity(100, 130, 32) - similarity(500, 530, 32)).abs() < 1e-4,
        "only the distance matters"
    );
    assert!(similarity(100, 101, 32) > similarity(100, 120, 32));
    assert!(similarity(100, 120, 32) > similarity(100, 900, 32));
}

/// The input channels of the first convolution of every block on the way up.
fn inputs(unet: &mut UNet<AutoDevice>) -> Vec<usize> {
    let parameters = unet.parameters().into_iter();
    parameters
        .filter(|p| p.name.starts_with("up_blocks") && p.name.ends_with("conv1.weight"))
        .map(|p| p.shape()[1])
        .collect()
}

#[test]
fn skips_are_what_the_way_up_takes_in() {
    let device: AutoDevice = ops::open_device(0).unwrap();
    for config in [
        Preset::Cats.config([3, 16, 16]),
        Preset::Mnist.config([1, 28, 28]),
        Preset::Tiny.config([1, 8, 8]),
    ] {
        let mut unet =
            UNet::new(&device, &config, &mut ch03_forward::rng(0, 0)).unwrap();
        let inputs = inputs(&mut unet);
        // A block takes in what the one before it gave, and a skip: the last that was
        // built comes first.
        let mut before = *config.block_out_channels.last().unwrap();
        let mut found = skips(&config);
        assert_eq!(found.len(), inputs.len(), "as many skips as blocks on the way up");
        for (block, input) in inputs.iter().enumerate() {
            assert_eq!(
                found.pop(),
                Some(input - before),
                "block {block} on the way up"
            );
            let level = block / (config.layers_per_block + 1);
            before =
                config.block_out_channels[config.block_out_channels.len() - 1 - level];
        }
    }
}
