//! Where a step's time goes: every kernel at the sizes that the presets use, for 64 images, on
//! `Cpu`.
//!
//! Rates are multiplications and additions (of a direct convolution) or bytes read and written, per
//! second.

use std::hint::black_box;
use std::time::Duration;

use criterion::{criterion_group, criterion_main, BenchmarkGroup, Criterion, Throughput};
use dfdx::prelude::Cpu;
use ops::{
    AdamW, Added, AttentionShape, ConvShape, Kernels, LinearShape, NormShape, Store, UpsampleShape,
};

type Group<'a> = BenchmarkGroup<'a, criterion::measurement::WallTime>;

/// Numbers that are not all alike.
fn numbers(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| (i as u32).wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32 - 0.5)
        .collect()
}

fn group<'a>(c: &'a mut Criterion, name: &str) -> Group<'a> {
    let mut group = c.benchmark_group(name);
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500));
    group
}

/// `(batch, cin, cout, side, kernel, stride)`
const CONVOLUTIONS: [(usize, usize, usize, usize, usize, usize); 21] = [
    (64, 3, 32, 16, 3, 1),
    (64, 32, 32, 16, 3, 1),
    (64, 96, 32, 16, 3, 1),
    (64, 32, 3, 16, 3, 1),
    (64, 64, 64, 8, 3, 1),
    (64, 128, 64, 8, 3, 1),
    (64, 64, 64, 4, 3, 1),
    (64, 64, 64, 8, 1, 1),
    (64, 64, 64, 8, 3, 2),
    (64, 24, 24, 28, 3, 1),
    (64, 48, 48, 14, 3, 1),
    (64, 64, 64, 7, 3, 1),
    (32, 128, 128, 16, 3, 1),
    (1, 64, 64, 8, 3, 1),
    (1, 128, 128, 16, 3, 1),
    (1, 64, 64, 32, 3, 1),
    (1, 128, 128, 8, 3, 1),
    (1, 64, 64, 4, 3, 1),
    (1, 32, 32, 16, 3, 1),
    (1, 24, 24, 28, 3, 1),
    (1, 48, 48, 14, 3, 1),
];

fn convolution(c: &mut Criterion) {
    let dev = Cpu::default();
    for (batch, cin, cout, side, kernel, stride) in CONVOLUTIONS {
        let out = side / stride;
        let s = ConvShape {
            batch,
            cin,
            cout,
            h: side,
            w: side,
            ho: out,
            wo: out,
            kernel,
            stride,
            pad: kernel / 2,
        };
        let mut group = group(
            c,
            &format!("conv {kernel}x{kernel}/{stride} {cin}->{cout} at {side}x{side} x{batch}"),
        );
        group.throughput(Throughput::Elements(
            (2 * batch * cin * cout * out * out * kernel * kernel) as u64,
        ));
        let (x, w, b) = (
            numbers(batch * cin * side * side),
            numbers(cout * cin * kernel * kernel),
            numbers(cout),
        );
        let mut y = numbers(batch * cout * out * out);
        let (mut dx, mut dw) = (x.clone(), w.clone());
        group.bench_function("forward", |bench| {
            let added = Added { bias: Some(&b[..]), channels: None, images: None };
            bench.iter(|| dev.conv2d(&s, &x, &w, None, added, black_box(&mut y)))
        });
        group.bench_function("backward input", |bench| {
            bench.iter(|| dev.conv2d_backward_input(&s, &w, &y, black_box(&mut dx), Store::Add))
        });
        group.bench_function("backward weight", |bench| {
            bench.iter(|| dev.conv2d_backward_weight(&s, &x, &y, black_box(&mut dw)))
        });
    }
}

fn normalisation(c: &mut Criterion) {
    let dev = Cpu::default();
    for (channels, side) in [(32, 16), (64, 8), (24, 28)] {
        let s = NormShape {
            batch: 64,
            channels,
            pixels: side * side,
            groups: 8,
            eps: 1e-5,
            silu: true,
        };
        let len = s.batch * channels * s.pixels;
        let (x, gamma, beta, dy) =
            (numbers(len), numbers(channels), numbers(channels), numbers(len));
        let mut y = numbers(len);
        let mut statistics = vec![0.0; 2 * s.batch * s.groups];
        let (mut dx, mut dgamma, mut dbeta) = (numbers(len), numbers(channels), numbers(channels));
        let mut group = group(c, &format!("group norm + SiLU {channels} at {side}x{side} x64"));
        group.throughput(Throughput::Bytes(8 * len as u64));
        group.bench_function("forward", |bench| {
            bench.iter(|| dev.group_norm(&s, &x, &gamma, &beta, &mut statistics, black_box(&mut y)))
        });
        group.throughput(Throughput::Bytes(16 * len as u64));
        group.bench_function("backward", |bench| {
            bench.iter(|| {
                dev.group_norm_backward(
                    &s,
                    &x,
                    &statistics,
                    &gamma,
                    &beta,
                    &dy,
                    black_box(&mut dx),
                    &mut dgamma,
                    &mut dbeta,
                )
            })
        });
    }
}

fn attention(c: &mut Criterion) {
    let dev = Cpu::default();
    for (heads, d, side, batch) in [(2, 32, 8, 64), (2, 32, 7, 64), (2, 64, 16, 32)] {
        let pixels = side * side;
        let s = AttentionShape { heads: batch * heads, d, pixels, places: pixels };
        let len = batch * heads * d * pixels;
        let (q, k, v, dy) = (numbers(len), numbers(len), numbers(len), numbers(len));
        let (mut y, mut dq, mut dk, mut dv) =
            (numbers(len), numbers(len), numbers(len), numbers(len));
        let mut group =
            group(c, &format!("attention {heads} heads of {d} at {side}x{side} x{batch}"));
        group.throughput(Throughput::Elements(4 * (len * pixels) as u64));
        group.bench_function("forward", |bench| {
            bench.iter(|| dev.attention(&s, &q, &k, &v, black_box(&mut y)))
        });
        group.throughput(Throughput::Elements(10 * (len * pixels) as u64));
        group.bench_function("backward", |bench| {
            bench.iter(|| {
                dev.attention_backward(&s, &q, &k, &v, &dy, black_box(&mut dq), &mut dk, &mut dv)
            })
        });
    }
}

fn others(c: &mut Criterion) {
    let dev = Cpu::default();
    let len = 64 * 32 * 16 * 16;
    let (a, b) = (numbers(len), numbers(len));
    let mut y = numbers(len);
    let mut group = group(c, "others");
    group.throughput(Throughput::Bytes(12 * len as u64));
    group
        .bench_function("accumulate", |bench| bench.iter(|| dev.accumulate(&a, black_box(&mut y))));
    group.throughput(Throughput::Bytes(5 * len as u64));
    group.bench_function("upsample", |bench| {
        let s = UpsampleShape { planes: 64 * 32, h: 8, w: 8, ho: 16, wo: 16 };
        bench.iter(|| dev.upsample(&s, &a[..len / 4], black_box(&mut y)))
    });
    let s = LinearShape { rows: 64, inputs: 128, outputs: 128 };
    group.throughput(Throughput::Elements((2 * s.rows * s.inputs * s.outputs) as u64));
    group.bench_function("linear", |bench| {
        bench.iter(|| {
            dev.linear(
                &s,
                &a[..s.rows * s.inputs],
                &b[..s.inputs * s.outputs],
                None,
                black_box(&mut y[..s.rows * s.outputs]),
            )
        })
    });
    let parameters = 700_000;
    let (mut p, mut m, mut v) = (numbers(parameters), vec![0.0; parameters], vec![0.0; parameters]);
    let g = numbers(parameters);
    let h = AdamW {
        learning_rate: 1e-3,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.01,
        bias_correction1: 0.1,
        bias_correction2: 0.001,
        gradient_scale: 1.0,
    };
    group.throughput(Throughput::Bytes(28 * parameters as u64));
    group.bench_function("adamw", |bench| {
        bench.iter(|| dev.adamw(&h, black_box(&mut p), &g, &mut m, &mut v))
    });
}

/// As in the programs: the thread that calls the kernels is one of rayon's.
fn threads(_: &mut Criterion) {
    rayon::ThreadPoolBuilder::new()
        .use_current_thread()
        .build_global()
        .expect("nobody has started them yet");
}

criterion_group!(benches, threads, convolution, normalisation, attention, others);
criterion_main!(benches);
