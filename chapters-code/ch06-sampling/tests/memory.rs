//! Memory use, tested in a process of its own.
#![cfg(target_os = "linux")]

use ch04_unet::model_dir::{Model, SchedulerConfig};
use ch04_unet::{Preset, UNet};
use ch06_sampling::sample_images;
use ops::AutoDevice as Dev;

/// Kilobytes of memory that this process holds.
fn held() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Every call of `sample_images` makes copies of the network, each with memory of its own. This
/// memory must be freed: otherwise a hundred calls would hold on to 530 MB.
#[test]
fn a_hundred_drawings_need_no_more_memory_than_one() {
    let device: Dev = ops::open_device(0).unwrap();
    let scheduler = SchedulerConfig { num_train_timesteps: 2, ..Default::default() };
    let config = Preset::Tiny.config([3, 16, 16]);
    let model = Model {
        network: UNet::new(&device, &config, &mut ch03_forward::rng(0, 0)).unwrap(),
        diffusion: scheduler.diffusion().unwrap(),
        scheduler,
        notes: Vec::new(),
    };
    let draw = |times| {
        for _ in 0..times {
            sample_images(&device, &model, [3, 16, 16], 0..64, 0);
        }
    };
    draw(5);
    let before = held();
    draw(100);
    let grown = held().saturating_sub(before);
    assert!(grown < 15_000, "100 drawings kept {grown} kB");
}
