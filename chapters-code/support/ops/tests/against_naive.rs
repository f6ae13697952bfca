//! Every operation against a naive loop in f64, and every gradient against finite differences of
//! that loop.

mod common;

use common::*;
use dfdx::prelude::*;
use ops::{Conv2dOptions, Images, Vector};
use rand::Rng;

const TOLERANCE: f64 = 2e-5;

/// Runs `test` at every level of vector instructions that this processor has; on a GPU there are
/// none, and it runs once.
///
/// All tests that run a kernel do so here, one at a time: the level is a setting of the whole
/// process, and must not change while a kernel is running.
fn every_level(test: impl Fn()) {
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _lock = LOCK.lock().unwrap_or_else(|e| e.into_inner());
    let levels = [ops::SimdLevel::Scalar, ops::SimdLevel::Avx2, ops::SimdLevel::Avx512];
    for level in levels.iter().take(if cfg!(feature = "cuda") { 0 } else { levels.len() }) {
        if ops::force_simd(Some(*level)) {
            println!("{level:?}");
            test();
        }
    }
    ops::force_simd(None);
    test();
}

#[derive(Clone, Copy, Debug)]
struct Conv {
    batch: usize,
    cin: usize,
    cout: usize,
    h: usize,
    w: usize,
    kernel: usize,
    o: Conv2dOptions,
}

impl Conv {
    fn out(&self) -> (usize, usize) {
        let pad = self.o.pad_before + self.o.pad_after;
        (
            (self.h + pad - self.kernel) / self.o.stride + 1,
            (self.w + pad - self.kernel) / self.o.stride + 1,
        )
    }

    fn naive(&self, inputs: &[Vec<f64>]) -> Vec<f64> {
        let (x, w, b) = (&inputs[0], &inputs[1], &inputs[2]);
        let (ho, wo) = self.out();
        let mut y = Vec::new();
        for n in 0..self.batch {
            for o in 0..self.cout {
                for i in 0..ho {
                    for j in 0..wo {
                        let mut sum = b[o];
                        for c in 0..self.cin {
                            for ki in 0..self.kernel {
                                for kj in 0..self.kernel {
                                    let r = (i * self.o.stride + ki) as isize
                                        - self.o.pad_before as isize;
                                    let s = (j * self.o.stride + kj) as isize
                                        - self.o.pad_before as isize;
                                    if r >= 0
                                        && s >= 0
                                        && (r as usize) < self.h
                                        && (s as usize) < self.w
                                    {
                                        sum += x[((n * self.cin + c) * self.h + r as usize)
                                            * self.w
                                            + s as usize]
                                            * w[((o * self.cin + c) * self.kernel + ki)
                                                * self.kernel
                                                + kj];
                                    }
                                }
                            }
                        }
                        y.push(sum);
                    }
                }
            }
        }
        y
    }

    /// Compares the result with that of the naive loop, and the gradients of x, w and b with those
    /// that `gradients` finds for a gradient of the result.
    fn check_with(
        &self,
        rng: &mut impl Rng,
        gradients: impl Fn(&[Vec<f32>; 3], &[f32]) -> Vec<Vec<f64>>,
    ) {
        let dev = device();
        let mut random =
            |len: usize| (0..len).map(|_| rng.gen_range(-1.0f32..1.0)).collect::<Vec<_>>();
        let inputs = [
            random(self.batch * self.cin * self.h * self.w),
            random(self.cout * self.cin * self.kernel * self.kernel),
            random(self.cout),
        ];
        let x = dev.tensor_from_vec(inputs[0].clone(), (self.batch, self.cin, self.h, self.w));
        let w =
            dev.tensor_from_vec(inputs[1].clone(), (self.cout, self.cin, self.kernel, self.kernel));
        let b = dev.tensor_from_vec(inputs[2].clone(), (self.cout,));
        let y = ops::conv2d(x.leaky_trace(), &w, Some(&b), self.o);
        let (ho, wo) = self.out();
        assert_eq!(*y.shape(), (self.batch, self.cout, ho, wo));
        let expected = self.naive(&inputs.each_ref().map(|v| to_f64(v)));
        assert_close(&format!("{self:?}: y"), &host(&y), &expected, TOLERANCE);
        let dy = random(expected.len());
        let grads = backward(y, &dy);
        self.check_additions(rng, &x, &w, &b, &expected);
        let found = [host(&grads.get(&x)), host(&grads.get(&w)), host(&grads.get(&b))];
        for ((name, found), expected) in
            ["dx", "dw", "db"].iter().zip(found).zip(gradients(&inputs, &dy))
        {
            assert_close(&format!("{self:?}: {name}"), &found, &expected, TOLERANCE);
        }
    }

    /// The map is linear in each input, so finite differences are exact.
    fn check(&self, rng: &mut impl Rng) {
        self.check_with(rng, |inputs, dy| finite_differences(&|v| self.naive(v), inputs, dy));
    }

    /// For sizes at which finite differences would take too long.
    fn check_large(&self, rng: &mut impl Rng) {
        self.check_with(rng, |[x, w, _], dy| {
            self.naive_gradients(&to_f64(x), &to_f64(w), &to_f64(dy)).into()
        });
    }
}

impl Conv {
    /// Terms that a convolution adds to its result: the result changes by them, and their gradient
    /// is that of the result.
    fn check_additions(
        &self,
        rng: &mut impl Rng,
        x: &Images<ops::AutoDevice>,
        w: &Images<ops::AutoDevice>,
        b: &Vector<ops::AutoDevice>,
        plain: &[f64],
    ) {
        let dev = device();
        let (ho, wo) = self.out();
        let pixels = ho * wo;
        let mut random =
            |len: usize| (0..len).map(|_| rng.gen_range(-1.0f32..1.0)).collect::<Vec<_>>();
        let (per_channel, per_pixel) = (random(self.batch * self.cout), random(plain.len()));
        let channels = dev.tensor_from_vec(per_channel.clone(), (self.batch, self.cout));
        let images = dev.tensor_from_vec(per_pixel.clone(), (self.batch, self.cout, ho, wo));
        let dy = random(plain.len());

        let y =
            ops::conv2d_plus_channels(x.leaky_trace(), w, Some(b), self.o, channels.leaky_trace());
        let expected: Vec<f64> =
            plain.iter().enumerate().map(|(i, v)| v + per_channel[i / pixels] as f64).collect();
        assert_close(&format!("{self:?} plus channels"), &host(&y), &expected, TOLERANCE);
        let sums: Vec<f64> =
            dy.chunks(pixels).map(|dy| dy.iter().map(|&v| v as f64).sum()).collect();
        let found = host(&backward(y, &dy).get(&channels));
        assert_close(&format!("{self:?} plus channels: dc"), &found, &sums, TOLERANCE);

        let y = ops::conv2d_plus_images(x.leaky_trace(), w, Some(b), self.o, images.leaky_trace());
        let expected: Vec<f64> = plain.iter().zip(&per_pixel).map(|(v, &p)| v + p as f64).collect();
        assert_close(&format!("{self:?} plus images"), &host(&y), &expected, TOLERANCE);
        assert_eq!(host(&backward(y, &dy).get(&images)), dy, "{self:?} plus images: di");
    }

    /// The gradients of x, w and b: every product in [`Conv::naive`], taken backwards.
    fn naive_gradients(&self, x: &[f64], w: &[f64], dy: &[f64]) -> [Vec<f64>; 3] {
        let (ho, wo) = self.out();
        let (mut dx, mut dw, mut db) =
            (vec![0.0; x.len()], vec![0.0; w.len()], vec![0.0; self.cout]);
        for (at, dy) in dy.iter().enumerate() {
            let (n, o, i, j) =
                (at / (wo * ho * self.cout), at / (wo * ho) % self.cout, at / wo % ho, at % wo);
            db[o] += dy;
            for tap in 0..self.cin * self.kernel * self.kernel {
                let (c, ki, kj) =
                    (tap / self.kernel.pow(2), tap / self.kernel % self.kernel, tap % self.kernel);
                let r = (i * self.o.stride + ki).wrapping_sub(self.o.pad_before);
                let s = (j * self.o.stride + kj).wrapping_sub(self.o.pad_before);
                if r < self.h && s < self.w {
                    let (x_at, w_at) = (
                        ((n * self.cin + c) * self.h + r) * self.w + s,
                        o * self.cin * self.kernel.pow(2) + tap,
                    );
                    dx[x_at] += dy * w[w_at];
                    dw[w_at] += dy * x[x_at];
                }
            }
        }
        [dx, dw, db]
    }
}

/// Sizes for which the convolution takes the path with fewer multiplications: images that divide
/// into whole 4×4 tiles and images that do not, fewer images than threads, several bands of tiles,
/// channels that do not fill whole vectors, and all paddings.
#[test]
fn conv2d_of_many_channels() {
    every_level(|| {
        let mut rng = rng(11);
        let one = Conv2dOptions::padded(1);
        let sizes = [
            Conv { batch: 2, cin: 16, cout: 16, h: 8, w: 8, kernel: 3, o: one },
            Conv { batch: 1, cin: 17, cout: 35, h: 13, w: 10, kernel: 3, o: one },
            Conv { batch: 9, cin: 24, cout: 18, h: 4, w: 4, kernel: 3, o: one },
            Conv { batch: 3, cin: 16, cout: 48, h: 7, w: 7, kernel: 3, o: one },
            Conv { batch: 1, cin: 32, cout: 16, h: 28, w: 28, kernel: 3, o: one },
            Conv { batch: 70, cin: 16, cout: 16, h: 3, w: 2, kernel: 3, o: one },
            Conv {
                batch: 2,
                cin: 20,
                cout: 20,
                h: 9,
                w: 12,
                kernel: 3,
                o: Conv2dOptions::padded(0),
            },
            Conv {
                batch: 2,
                cin: 16,
                cout: 16,
                h: 6,
                w: 9,
                kernel: 3,
                o: Conv2dOptions::padded(2),
            },
            Conv {
                batch: 2,
                cin: 16,
                cout: 16,
                h: 9,
                w: 8,
                kernel: 3,
                o: Conv2dOptions { stride: 1, pad_before: 0, pad_after: 2 },
            },
            // From many channels to few, which is computed the other way round.
            Conv { batch: 2, cin: 24, cout: 3, h: 9, w: 7, kernel: 3, o: one },
            Conv {
                batch: 1,
                cin: 17,
                cout: 2,
                h: 5,
                w: 6,
                kernel: 3,
                o: Conv2dOptions { stride: 1, pad_before: 0, pad_after: 2 },
            },
            // Convolutions with more to unfold than is unfolded at once, and sums of more terms
            // than are added up at once.
            Conv {
                batch: 1,
                cin: 40,
                cout: 9,
                h: 30,
                w: 31,
                kernel: 3,
                o: Conv2dOptions::padded(1).with_stride(2),
            },
            Conv { batch: 5, cin: 3, cout: 5, h: 26, w: 25, kernel: 3, o: one },
            Conv {
                batch: 1,
                cin: 600,
                cout: 4,
                h: 3,
                w: 2,
                kernel: 1,
                o: Conv2dOptions::padded(0),
            },
        ];
        for conv in sizes {
            conv.check_large(&mut rng);
        }
    });
}

#[test]
#[cfg(not(feature = "cuda"))]
fn the_number_of_threads_changes_nothing() {
    every_level(|| {
        // Few images or many, with one band of tiles or several, computed directly or with fewer
        // multiplications.
        let shapes = [
            (1, 20, 18, 9, 1),
            (2, 17, 33, 16, 1),
            (5, 32, 16, 20, 1),
            (3, 5, 6, 11, 1),
            (4, 16, 16, 8, 2),
            (1, 7, 5, 12, 1),
            (1, 40, 5, 7, 1),
            (1, 70, 13, 22, 2),
            (1, 9, 300, 1, 1),
            (1, 37, 300, 2, 2),
        ];
        for (batch, cin, cout, side, stride) in shapes {
            let mut random_numbers = rng(11);
            let x0 = random(&mut random_numbers, batch * cin * side * side);
            let w0 = random(&mut random_numbers, cout * cin * 9);
            let c0 = random(&mut random_numbers, batch * cout * side.div_ceil(stride).pow(2));
            let gamma = random(&mut random_numbers, cin);
            let work = || {
                let dev = device();
                let x = dev.tensor_from_vec(x0.clone(), (batch, cin, side, side));
                let w = dev.tensor_from_vec(w0.clone(), (cout, cin, 3, 3));
                let (gamma, beta) =
                    (dev.tensor_from_vec(gamma.clone(), (cin,)), dev.zeros_like(&(cin,)));
                let h = ops::group_norm(x.leaky_trace(), &gamma, &beta, 1, 1e-5, true);
                let y = ops::conv2d(h, &w, None, Conv2dOptions::padded(1).with_stride(stride));
                let result = host(&y);
                let grads = backward(y, &c0);
                [result, host(&grads.get(&x)), host(&grads.get(&w)), host(&grads.get(&gamma))]
            };
            let with = |threads| {
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
            };
            let one = with(1);
            for threads in [2, 3, 7] {
                assert!(
                    one == with(threads),
                    "{threads} threads, {batch} images of {cin} channels, {side}x{side}"
                );
            }
        }
    });
}

/// A layer keeps its weight in the form that the device needs. That must not show in any answer,
/// whatever the number of threads, and even if the weight has changed since or has been transformed
/// for another vector width.
#[test]
#[cfg(not(feature = "cuda"))]
fn a_layer_keeps_no_weight_that_has_changed() {
    use ops::layers::Conv2d;
    use ops::params::{from_host, to_host, HostTensor, NamedTensors};

    let o = Conv2dOptions::padded(1);
    let cases = [
        (1, 24, 24, 28),
        (1, 17, 35, 14),
        (1, 64, 64, 8),
        (2, 16, 48, 9),
        (9, 20, 33, 4),
        (3, 16, 16, 20),
    ];
    for (batch, cin, cout, side) in cases {
        let conv = Conv { batch, cin, cout, h: side, w: side, kernel: 3, o };
        let mut rng = rng(12);
        let x0 = random(&mut rng, batch * cin * side * side);
        let mut old = Conv2d::new(&device(), &mut rng, cin, cout, 3, o);
        let weights = to_host(&mut old);
        let doubled = weights.iter().map(|(name, t)| {
            (
                name.clone(),
                HostTensor {
                    shape: t.shape.clone(),
                    values: t.values.iter().map(|v| 2.0 * v).collect(),
                },
            )
        });
        let doubled: NamedTensors = doubled.collect();
        let naive = |of: &NamedTensors| {
            conv.naive(&[&x0, &of["weight"].values, &of["bias"].values].map(|v| to_f64(v)))
        };
        let expected = [naive(&weights), naive(&doubled)];
        every_level(|| {
            let x = device().tensor_from_vec(x0.clone(), (batch, cin, side, side));
            let check = |what: &str, layer: &Conv2d<ops::AutoDevice>, expected: &[f64]| {
                let y = host(&layer.forward(x.clone()));
                assert_close(&format!("{conv:?}: {what}"), &y, expected, TOLERANCE);
                y
            };
            check("a layer that other vectors have used", &old, &expected[0]);
            let mut layer = old.clone();
            from_host(&mut layer, &weights).unwrap();
            let first = check("the first time", &layer, &expected[0]);
            assert!(first == check("the second time", &layer, &expected[0]), "{conv:?}");
            for threads in [1, 2, 3, 7] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut fresh = layer.clone();
                from_host(&mut fresh, &weights).unwrap();
                let new = pool.install(|| host(&fresh.forward(x.clone())));
                let kept = pool.install(|| host(&layer.forward(x.clone())));
                assert!(new == first && kept == first, "{conv:?}: {threads} threads");
            }
            let before = layer.clone();
            from_host(&mut layer, &doubled).unwrap();
            check("after a change", &layer, &expected[1]);
            check("the copy from before the change", &before, &expected[0]);
        });
    }
}

#[test]
fn conv2d() {
    every_level(|| {
        let mut rng = rng(1);
        let fixed = [
            // The sizes at which the fast paths change: rows one number longer than a vector, one
            // channel, one pixel.
            Conv { batch: 1, cin: 1, cout: 1, h: 1, w: 1, kernel: 1, o: Conv2dOptions::padded(0) },
            Conv { batch: 1, cin: 1, cout: 5, h: 3, w: 17, kernel: 3, o: Conv2dOptions::padded(1) },
            Conv { batch: 9, cin: 2, cout: 3, h: 4, w: 4, kernel: 3, o: Conv2dOptions::padded(1) },
            Conv {
                batch: 2,
                cin: 3,
                cout: 4,
                h: 7,
                w: 5,
                kernel: 3,
                o: Conv2dOptions::padded(1).with_stride(2),
            },
            Conv {
                batch: 1,
                cin: 2,
                cout: 2,
                h: 6,
                w: 6,
                kernel: 3,
                o: Conv2dOptions { stride: 2, pad_before: 0, pad_after: 1 },
            },
            Conv {
                batch: 1,
                cin: 2,
                cout: 2,
                h: 5,
                w: 4,
                kernel: 3,
                o: Conv2dOptions { stride: 1, pad_before: 0, pad_after: 2 },
            },
            Conv { batch: 1, cin: 1, cout: 2, h: 4, w: 4, kernel: 1, o: Conv2dOptions::padded(1) },
            Conv { batch: 2, cin: 9, cout: 4, h: 3, w: 3, kernel: 3, o: Conv2dOptions::padded(0) },
        ];
        for conv in fixed {
            conv.check(&mut rng);
        }
        // Rows of fewer outputs than are copied in one go, of exactly as many, and of more.
        for (h, w, before, after) in [
            (5, 4, 1, 1),
            (7, 7, 1, 1),
            (6, 8, 0, 2),
            (3, 14, 1, 1),
            (6, 6, 2, 2),
            (9, 9, 1, 0),
            (22, 8, 1, 1),
        ] {
            let o = Conv2dOptions { stride: 1, pad_before: before, pad_after: after };
            Conv { batch: 1, cin: 3, cout: 9, h, w, kernel: 3, o }.check(&mut rng);
            Conv { batch: 3, cin: 2, cout: 5, h, w, kernel: 3, o }.check(&mut rng);
        }
        for _ in 0..12 {
            let kernel = rng.gen_range(1..=4);
            let conv = Conv {
                batch: rng.gen_range(1..4),
                cin: rng.gen_range(1..5),
                cout: rng.gen_range(1..6),
                h: rng.gen_range(kernel..8),
                w: rng.gen_range(kernel..8),
                kernel,
                o: Conv2dOptions {
                    stride: rng.gen_range(1..=3),
                    pad_before: rng.gen_range(0..2),
                    pad_after: rng.gen_range(0..2),
                },
            };
            conv.check(&mut rng);
        }
    });
}

/// Padding before and after the image, varied independently, up to the kernel's width and beyond:
/// with few channels, with many channels reduced to few, and with enough channels to take the path
/// with fewer multiplications.
#[test]
fn conv2d_with_any_padding() {
    every_level(|| {
        let mut rng = rng(13);
        for (kernel, stride, pad_before, pad_after) in any_padding() {
            let o = Conv2dOptions { stride, pad_before, pad_after };
            for (cin, cout, h, w) in [(2, 3, 4, 5), (16, 2, 4, 4), (16, 16, 9, 8), (3, 2, 1, 2)] {
                if h.min(w) + pad_before + pad_after >= kernel {
                    Conv { batch: 2, cin, cout, h, w, kernel, o }.check_large(&mut rng);
                }
            }
        }
    });
}

/// Kernel, stride, padding before and after.
fn any_padding() -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..4 * 2 * 25).map(|i| (1 + i % 4, 1 + i / 4 % 2, i / 8 % 5, i / 40))
}

#[test]
fn group_norm() {
    every_level(|| {
        let mut rng = rng(2);
        for (batch, channels, h, w, groups) in
            [(1, 1, 1, 2, 1), (2, 4, 3, 5, 2), (1, 6, 7, 3, 6), (3, 6, 4, 4, 1)]
        {
            for silu in [false, true] {
                let dev = device();
                let eps = 1e-5;
                let inputs = [
                    random(&mut rng, batch * channels * h * w),
                    random(&mut rng, channels),
                    random(&mut rng, channels),
                ];
                let naive = |v: &[Vec<f64>]| {
                    let len = channels / groups * h * w;
                    let mut y = v[0].clone();
                    for (g, group) in y.chunks_mut(len).enumerate() {
                        let mean = group.iter().sum::<f64>() / len as f64;
                        let var =
                            group.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / len as f64;
                        for (i, x) in group.iter_mut().enumerate() {
                            let c = g % groups * (channels / groups) + i / (h * w);
                            let z = (*x - mean) / (var + eps as f64).sqrt() * v[1][c] + v[2][c];
                            *x = if silu { z / (1.0 + (-z).exp()) } else { z };
                        }
                    }
                    y
                };
                let x = dev.tensor_from_vec(inputs[0].clone(), (batch, channels, h, w));
                let gamma = dev.tensor_from_vec(inputs[1].clone(), (channels,));
                let beta = dev.tensor_from_vec(inputs[2].clone(), (channels,));
                let y = ops::group_norm(x.leaky_trace(), &gamma, &beta, groups, eps, silu);
                let what = format!("group_norm {channels}/{groups} {h}x{w} silu {silu}");
                let expected = naive(&inputs.iter().map(|v| to_f64(v)).collect::<Vec<_>>());
                assert_close(&what, &host(&y), &expected, TOLERANCE);
                let c = random(&mut rng, expected.len());
                let grads = backward(y, &c);
                let slopes = finite_differences(&naive, &inputs, &c);
                assert_close(&format!("{what} dx"), &host(&grads.get(&x)), &slopes[0], 2e-4);
                assert_close(
                    &format!("{what} dgamma"),
                    &host(&grads.get(&gamma)),
                    &slopes[1],
                    2e-4,
                );
                assert_close(&format!("{what} dbeta"), &host(&grads.get(&beta)), &slopes[2], 2e-4);
            }
        }
    });
}

#[test]
fn silu_over_the_whole_range() {
    every_level(|| {
        let dev = device();
        let values: Vec<f32> = (-2000..=2000).map(|i| i as f32 * 0.05).collect();
        let naive =
            |v: &[Vec<f64>]| v[0].iter().map(|x| x / (1.0 + (-x).exp())).collect::<Vec<f64>>();
        let x = dev.tensor_from_vec(values.clone(), (values.len(),));
        let y = ops::silu(x.leaky_trace());
        for (found, expected) in host(&y).iter().zip(naive(&[to_f64(&values)])) {
            assert!(
                (*found as f64 - expected).abs() <= 1e-6 * expected.abs() + 1e-30,
                "{found} instead of {expected}"
            );
        }
        let grads = backward(y, &vec![1.0; values.len()]);
        for (found, &x) in host(&grads.get(&x)).iter().zip(&values) {
            let s = 1.0 / (1.0 + (-x as f64).exp());
            let expected = s + x as f64 * s * (1.0 - s);
            assert!(
                (*found as f64 - expected).abs() <= 1e-6,
                "{found} instead of {expected} at {x}"
            );
        }
    });
}

#[test]
fn linear() {
    every_level(|| {
        let mut rng = rng(3);
        for (rows, inp, out) in [(1, 1, 1), (5, 7, 3), (2, 33, 17)] {
            let dev = device();
            let inputs =
                [random(&mut rng, rows * inp), random(&mut rng, out * inp), random(&mut rng, out)];
            let naive = |v: &[Vec<f64>]| {
                let at = |r: usize, o: usize| {
                    v[2][o] + (0..inp).map(|i| v[0][r * inp + i] * v[1][o * inp + i]).sum::<f64>()
                };
                (0..rows)
                    .flat_map(|r| (0..out).map(move |o| (r, o)))
                    .map(|(r, o)| at(r, o))
                    .collect::<Vec<f64>>()
            };
            let x = dev.tensor_from_vec(inputs[0].clone(), (rows, inp));
            let w = dev.tensor_from_vec(inputs[1].clone(), (out, inp));
            let b = dev.tensor_from_vec(inputs[2].clone(), (out,));
            let y = ops::linear(x.leaky_trace(), &w, Some(&b));
            let expected = naive(&inputs.iter().map(|v| to_f64(v)).collect::<Vec<_>>());
            assert_close("linear", &host(&y), &expected, TOLERANCE);
            let c = random(&mut rng, expected.len());
            let grads = backward(y, &c);
            let slopes = finite_differences(&naive, &inputs, &c);
            assert_close("linear dx", &host(&grads.get(&x)), &slopes[0], TOLERANCE);
            assert_close("linear dw", &host(&grads.get(&w)), &slopes[1], TOLERANCE);
            assert_close("linear db", &host(&grads.get(&b)), &slopes[2], TOLERANCE);
        }
    });
}

#[test]
fn pointwise_is_a_linear_map_at_every_pixel() {
    every_level(|| {
        let mut rng = rng(4);
        let (batch, cin, cout, h, w) = (2, 5, 3, 3, 7);
        let dev = device();
        let inputs = [
            random(&mut rng, batch * cin * h * w),
            random(&mut rng, cout * cin),
            random(&mut rng, cout),
        ];
        let conv = Conv { batch, cin, cout, h, w, kernel: 1, o: Conv2dOptions::padded(0) };
        let x = dev.tensor_from_vec(inputs[0].clone(), (batch, cin, h, w));
        let weight = dev.tensor_from_vec(inputs[1].clone(), (cout, cin));
        let bias = dev.tensor_from_vec(inputs[2].clone(), (cout,));
        let y = ops::pointwise(x.leaky_trace(), &weight, Some(&bias));
        let expected = conv.naive(&inputs.iter().map(|v| to_f64(v)).collect::<Vec<_>>());
        assert_close("pointwise", &host(&y), &expected, TOLERANCE);
        let c = random(&mut rng, expected.len());
        let grads = backward(y, &c);
        let slopes = finite_differences(&|v| conv.naive(v), &inputs, &c);
        assert_close("pointwise dx", &host(&grads.get(&x)), &slopes[0], TOLERANCE);
        assert_close("pointwise dw", &host(&grads.get(&weight)), &slopes[1], TOLERANCE);
        assert_close("pointwise db", &host(&grads.get(&bias)), &slopes[2], TOLERANCE);
    });
}

// ANCHOR: naive_attention
/// Attention of one head of one image, by the formula: queries, keys and values are
/// `d` channels of pixels each.
fn naive_attention(d: usize, q: &[f64], k: &[f64], v: &[f64]) -> Vec<f64> {
    let (n, m) = (q.len() / d, k.len() / d);
    let mut y = vec![0.0; d * n];
    for i in 0..n {
        let product = |j: usize| -> f64 {
            let products = (0..d).map(|c| q[c * n + i] * k[c * m + j]);
            products.sum()
        };
        let score = |j| (product(j) / (d as f64).sqrt()).exp();
        let score: Vec<f64> = (0..m).map(score).collect();
        let total: f64 = score.iter().sum();
        for c in 0..d {
            y[c * n + i] = (0..m).map(|j| score[j] / total * v[c * m + j]).sum();
        }
    }
    y
}
// ANCHOR_END: naive_attention

#[test]
fn attention() {
    every_level(|| {
        let mut rng = rng(5);
        // An image that looks at itself, and one that looks at more or fewer places than it has
        // pixels.
        for (batch, heads, d, h, w, places) in [
            (1, 1, 1, 1, 1, None),
            (2, 3, 2, 3, 2, None),
            (1, 2, 5, 4, 5, None),
            (2, 2, 3, 3, 4, Some(5)),
            (1, 1, 4, 1, 3, Some(9)),
            // More pixels than are processed together.
            (1, 1, 3, 9, 8, None),
            (1, 2, 2, 5, 14, Some(3)),
        ] {
            let dev = device();
            let (channels, n, m) = (heads * d, h * w, places.unwrap_or(h * w));
            let inputs = [n, m, m].map(|n| {
                random(&mut rng, batch * channels * n).iter().map(|v| v * 3.0).collect::<Vec<f32>>()
            });
            let naive = |v: &[Vec<f64>]| {
                let heads = (0..batch * heads).flat_map(|head| {
                    let part =
                        |t: &'_ [f64], n: usize| t[head * d * n..(head + 1) * d * n].to_vec();
                    naive_attention(d, &part(&v[0], n), &part(&v[1], m), &part(&v[2], m))
                });
                heads.collect::<Vec<f64>>()
            };
            let looked_at = places.map_or((h, w), |places| (1, places));
            let [q, k, v] = [(0, (h, w)), (1, looked_at), (2, looked_at)]
                .map(|(i, (h, w))| dev.tensor_from_vec(inputs[i].clone(), (batch, channels, h, w)));
            let y = ops::attention(q.leaky_trace(), k.leaky_trace(), v.leaky_trace(), heads);
            let expected = naive(&inputs.iter().map(|v| to_f64(v)).collect::<Vec<_>>());
            assert_close("attention", &host(&y), &expected, TOLERANCE);
            let c = random(&mut rng, expected.len());
            let grads = backward(y, &c);
            let slopes = finite_differences(&naive, &inputs, &c);
            assert_close("attention dq", &host(&grads.get(&q)), &slopes[0], 1e-4);
            assert_close("attention dk", &host(&grads.get(&k)), &slopes[1], 1e-4);
            assert_close("attention dv", &host(&grads.get(&v)), &slopes[2], 1e-4);
        }
    });
}

/// If the values are 1 at one place and 0 elsewhere, attention answers with the share of that
/// place.
#[test]
fn shares_are_what_attention_mixes_with() {
    every_level(|| {
        let (dev, mut rng) = (device(), rng(7));
        let (batch, heads, channels, h, w, places) = (2, 2, 6, 2, 3, 5);
        let mut images = |h: usize, w: usize| {
            let values = random(&mut rng, batch * channels * h * w);
            dev.tensor_from_vec(values, (batch, channels, h, w))
        };
        let (q, k) = (images(h, w), images(1, places));
        let shares = ops::attention_shares(q.clone(), k.clone(), heads).as_vec();
        for place in 0..places {
            let at_place = |i| f32::from(u8::from(i % places == place));
            let v = (0..batch * channels * places).map(at_place).collect::<Vec<_>>();
            let v = dev.tensor_from_vec(v, (batch, channels, 1, places));
            let answer = ops::attention(q.clone(), k.clone(), v, heads).as_vec();
            for (image, answer) in answer.chunks(channels * h * w).enumerate() {
                for pixel in 0..h * w {
                    let of_channels = answer.iter().skip(pixel).step_by(h * w);
                    let mean = of_channels.sum::<f32>() / channels as f32;
                    let share = shares[(image * places + place) * h * w + pixel];
                    assert!((share - mean).abs() < 1e-6, "{share} is not {mean}");
                }
            }
        }
    });
}

#[test]
fn upsampling() {
    let mut rng = rng(6);
    for (h, w, ho, wo) in [(1, 1, 2, 2), (3, 5, 6, 10), (4, 4, 7, 7), (2, 3, 2, 3)] {
        let dev = device();
        let planes = 4;
        let values = random(&mut rng, planes * h * w);
        let naive = |v: &[Vec<f64>]| {
            let mut y = Vec::new();
            for p in 0..planes {
                for i in 0..ho {
                    for j in 0..wo {
                        y.push(v[0][(p * h + i * h / ho) * w + j * w / wo]);
                    }
                }
            }
            y
        };
        let x = dev.tensor_from_vec(values.clone(), (2, 2, h, w));
        let y = ops::upsample_nearest(x.leaky_trace(), ho, wo);
        let expected = naive(&[to_f64(&values)]);
        assert_close("upsample", &host(&y), &expected, 0.0);
        let c = random(&mut rng, expected.len());
        let grads = backward(y, &c);
        let slopes = finite_differences(&naive, &[values], &c);
        assert_close("upsample dx", &host(&grads.get(&x)), &slopes[0], TOLERANCE);
    }
}

#[test]
fn glue() {
    every_level(|| {
        let mut rng = rng(7);
        let dev = device();
        let (batch, ca, cb, h, w) = (2, 3, 2, 3, 5);
        let (a0, b0) = (random(&mut rng, batch * ca * h * w), random(&mut rng, batch * cb * h * w));
        let a = dev.tensor_from_vec(a0.clone(), (batch, ca, h, w));
        let b = dev.tensor_from_vec(b0.clone(), (batch, cb, h, w));
        let y = ops::concat_channels(a.leaky_trace(), b.leaky_trace());
        let mut expected = Vec::new();
        for n in 0..batch {
            expected.extend(to_f64(&a0[n * ca * h * w..][..ca * h * w]));
            expected.extend(to_f64(&b0[n * cb * h * w..][..cb * h * w]));
        }
        assert_close("concat", &host(&y), &expected, 0.0);
        let c = random(&mut rng, expected.len());
        let grads = backward(y, &c);
        let c: Vec<&[f32]> = c.chunks((ca + cb) * h * w).collect();
        assert_eq!(host(&grads.get(&a)), [&c[0][..ca * h * w], &c[1][..ca * h * w]].concat());
        assert_eq!(host(&grads.get(&b)), [&c[0][ca * h * w..], &c[1][ca * h * w..]].concat());

        // A tensor is added to itself, so its gradient counts twice.
        let ones = dev.tensor_from_vec(
            (0..ca * ca).map(|i| (i % (ca + 1) == 0) as u8 as f32).collect(),
            (ca, ca),
        );
        let y = ops::pointwise_plus_images(
            a.leaky_trace(),
            &ones,
            None,
            a.with_empty_tape().leaky_traced(),
        );
        assert_close(
            "identity plus itself",
            &host(&y),
            &a0.iter().map(|&v| 2.0 * v as f64).collect::<Vec<_>>(),
            1e-7,
        );
        let c = random(&mut rng, a0.len());
        let grads = backward(y, &c);
        assert_close(
            "its gradient",
            &host(&grads.get(&a)),
            &c.iter().map(|&v| 2.0 * v as f64).collect::<Vec<_>>(),
            1e-7,
        );
    });
}

#[test]
#[cfg(not(feature = "cuda"))]
fn replicas_work_on_halves_and_answer_in_order() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    every_level(|| {
        let dev = device();
        // A network of one parameter.
        let network: Vector<ops::AutoDevice> = dev.tensor_from_vec(vec![1.0, 2.0, 3.0], (3,));
        for (count, halves) in
            [(1, [0..0, 0..1]), (15, [0..0, 0..15]), (16, [0..8, 8..16]), (21, [0..10, 10..21])]
        {
            let expected: Vec<_> = halves.into_iter().filter(|half| !half.is_empty()).collect();
            for threads in [1, 2, 3, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    let mut replicas = ops::Replicas::new(&dev, &network);
                    // With two or more threads, neither half is finished before both are in
                    // progress.
                    let (together, in_work) = (threads.min(expected.len()), AtomicUsize::new(0));
                    let (images, sums): (Vec<_>, Vec<_>) = replicas
                        .run(count, |network, device, images| {
                            in_work.fetch_add(1, Ordering::Relaxed);
                            let start = Instant::now();
                            while in_work.load(Ordering::Relaxed) < together {
                                assert!(
                                    start.elapsed().as_secs() < 20,
                                    "{threads} threads: {images:?} waits in vain"
                                );
                                std::thread::yield_now();
                            }
                            (images, host(&(network.clone() + device.ones_like(&(3,)))))
                        })
                        .into_iter()
                        .unzip();
                    assert_eq!(images, expected);
                    assert!(sums.iter().all(|sum| *sum == [2.0, 3.0, 4.0]));

                    // The replicas follow the network, and join their answers.
                    replicas.follow(&dev.tensor_from_vec(vec![5.0, 6.0, 7.0], (3,)));
                    let x = dev
                        .tensor_from_vec((0..count).map(|i| i as f32).collect(), (count, 1, 1, 1));
                    let address = |x: &Images<Cpu>| &x[[0; 4]] as *const f32 as usize;
                    let whole = address(&x);
                    let answer = replicas.answer(&x, |network, x, images| {
                        assert_eq!(host(&x)[0], images.start as f32);
                        // A part that is the whole batch is not copied.
                        assert_eq!(address(&x) == whole, images.len() == count);
                        x + host(network)[0]
                    });
                    assert_eq!(
                        host(&answer),
                        (0..count).map(|i| i as f32 + 5.0).collect::<Vec<_>>()
                    );
                });
            }
        }
    });
}

#[test]
fn adamw_follows_its_definition() {
    every_level(|| {
        let mut rng = rng(8);
        let dev = device();
        let len = 1000;
        let p0 = random(&mut rng, len);
        let mut p = dev.tensor_from_vec(p0.clone(), (len,));
        let (mut m, mut v) = (dev.zeros_like(&(len,)), dev.zeros_like(&(len,)));
        let mut reference: Vec<[f64; 3]> = p0.iter().map(|&p| [p as f64, 0.0, 0.0]).collect();
        let (lr, b1, b2, eps, decay, scale) = (0.01, 0.9, 0.999, 1e-8, 0.1, 0.5);
        for step in 1..=5 {
            let g = random(&mut rng, len);
            // Two losses whose gradients are 2 g and -g.
            let parts = [2.0, -1.0].map(|factor| {
                let weights: Vec<f32> = g.iter().map(|g| g * factor).collect();
                ops::gradient_of(&mut p.clone(), backward(p.leaky_trace(), &weights)).unwrap()
            });
            let gradient = ops::sum_of_gradients(&dev, parts.to_vec());
            let mut squares = dev.zeros_like(&(1,));
            ops::sums_of_squares(&dev, &gradient, &mut squares);
            let expected = g.iter().map(|&g| (g as f64).powi(2)).sum::<f64>();
            assert_close("sum of squares", &host(&squares), &[expected], 1e-6);
            let h = ops::AdamW {
                learning_rate: lr as f32,
                beta1: b1 as f32,
                beta2: b2 as f32,
                eps: eps as f32,
                weight_decay: decay as f32,
                bias_correction1: 1.0 - (b1 as f32).powi(step),
                bias_correction2: 1.0 - (b2 as f32).powi(step),
                gradient_scale: scale as f32,
            };
            ops::adamw_step(&h, &mut p, &gradient[0], &mut m, &mut v);
            for (r, &g) in reference.iter_mut().zip(&g) {
                let g = g as f64 * scale;
                r[1] = b1 * r[1] + (1.0 - b1) * g;
                r[2] = b2 * r[2] + (1.0 - b2) * g * g;
                let (m_hat, v_hat) =
                    (r[1] / (1.0 - f64::powi(b1, step)), r[2] / (1.0 - f64::powi(b2, step)));
                r[0] -= lr * (m_hat / (v_hat.sqrt() + eps) + decay * r[0]);
            }
        }
        assert_close("adamw", &host(&p), &reference.iter().map(|r| r[0]).collect::<Vec<_>>(), 1e-5);
    });
}

#[test]
#[should_panic(expected = "not contiguous")]
#[cfg(not(feature = "cuda"))]
fn a_strided_tensor_is_refused() {
    let dev = device();
    let x = dev.tensor_from_vec(vec![0.0; 12], (1, 2, 2, 3));
    ops::silu(x.permute::<_, Axes4<0, 1, 3, 2>>());
}

/// The memory for a kernel's result must come from dfdx's cache and go back there, or memory use
/// would grow.
#[test]
#[cfg(not(feature = "cuda"))]
fn a_result_is_written_to_memory_that_was_used_before() {
    let dev = device();
    let address = |t: &Vector<Cpu>| &t[[0]] as *const f32;
    let x = dev.tensor_from_vec(vec![0.0; 1000], (1000,));
    let used = dev.tensor_from_vec(vec![1.0; 1000], (1000,));
    let first = address(&used);
    drop(used);
    let y = ops::silu(x);
    assert_eq!(address(&y), first);
    assert_eq!(y.as_vec(), vec![0.0; 1000]);
    drop(y);
    let values: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let tensor = ops::tensor(&dev, values.clone(), (1000,));
    assert_eq!(address(&tensor), first);
    assert_eq!(tensor.as_vec(), values);
    drop(tensor);
    let zeros: Vector<Cpu> = dev.zeros_like(&(1000,));
    assert_eq!(address(&zeros), first, "dfdx reuses the memory of a result");
    assert_eq!(zeros.as_vec(), vec![0.0; 1000]);
}

/// A normalisation that a convolution computes itself equals one that is computed separately, and
/// the gradients agree, too.
#[test]
fn a_convolution_reads_a_normalisation() {
    every_level(|| {
        // One convolution takes the path with fewer multiplications, one is computed directly, and
        // one has a stride.
        for (batch, cin, cout, side, stride) in
            [(3, 16, 20, 8, 1), (2, 8, 4, 5, 1), (2, 8, 12, 6, 2)]
        {
            let mut rng = rng(21);
            let dev = device();
            let tensor = |rng: &mut _, len, shape| dev.tensor_from_vec(random(rng, len), shape);
            let x = tensor(&mut rng, batch * cin * side * side, (batch, cin, side, side));
            let w = tensor(&mut rng, cout * cin * 9, (cout, cin, 3, 3));
            let gamma = dev.tensor_from_vec(random(&mut rng, cin), (cin,));
            let beta = dev.tensor_from_vec(random(&mut rng, cin), (cin,));
            let c = random(&mut rng, batch * cout * side.div_ceil(stride).pow(2));
            let options = Conv2dOptions::padded(1).with_stride(stride);
            let later = ops::group_norm_for_conv(x.leaky_trace(), &gamma, &beta, 4, 1e-5);
            let now = ops::group_norm(x.leaky_trace(), &gamma, &beta, 4, 1e-5, true);
            let (y, expected) =
                (ops::conv2d(later, &w, None, options), ops::conv2d(now, &w, None, options));
            assert_eq!(host(&y), host(&expected));
            let (found, expected) = (backward(y, &c), backward(expected, &c));
            for tensor in [&gamma, &beta] {
                assert_close(
                    "scale, shift",
                    &host(&found.get(tensor)),
                    &to_f64(&host(&expected.get(tensor))),
                    TOLERANCE,
                );
            }
            assert_close(
                "input",
                &host(&found.get(&x)),
                &to_f64(&host(&expected.get(&x))),
                TOLERANCE,
            );
            assert_close(
                "weight",
                &host(&found.get(&w)),
                &to_f64(&host(&expected.get(&w))),
                TOLERANCE,
            );
        }
    });
}
