//! Memory use, tested in a process of its own.
#![cfg(target_os = "linux")]

use ch01_tensors::{Cats, Split};
use ch04_unet::model_dir::SchedulerConfig;
use ch04_unet::Preset;
use ch05_train::{OptimizerConfig, TrainConfig, Trainer};

/// Kilobytes of memory that this process holds.
fn held() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Every step makes new images and new noise. Their memory must be freed: otherwise 100
/// steps would hold on to 40 MB.
#[test]
fn a_long_training_needs_no_more_memory_than_a_short_one() {
    let device = ops::open_device(0).unwrap();
    let config = TrainConfig {
        unet: Preset::Tiny.config([3, 16, 16]),
        objective: Default::default(),
        scheduler: SchedulerConfig::default(),
        optimizer: OptimizerConfig::default(),
        batch_size: 64,
        ema_decay: 0.9,
        seed: 0,
    };
    let mut trainer = Trainer::new(&device, config).unwrap();
    let cats = Cats::new(Split::Train);
    let mut run = |steps| {
        for _ in 0..steps {
            trainer.train_step(&cats).unwrap();
        }
    };
    run(20);
    let before = held();
    run(100);
    let grown = held().saturating_sub(before);
    assert!(grown < 15_000, "100 steps kept {grown} kB");
}
