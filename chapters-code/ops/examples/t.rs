use dfdx::prelude::*;
use ops::*;
use std::time::Instant;
fn main() {
    let dev = open_device(0).unwrap();
    for (n, cin, cout, h) in [(64usize, 64usize, 64usize, 16usize), (64, 32, 32, 16), (64, 64, 64, 8),(64,128,64,4)] {
        let x = dev.tensor_from_vec(vec![0.5; n * cin * h * h], (n, cin, h, h));
        let w = dev.tensor_from_vec(vec![0.5; cout * cin * 9], (cout, cin, 3, 3));
        let b = dev.tensor_from_vec(vec![0.5; cout], (cout,));
        let mut y = dev.zeros_like(&(n, cout, h, h));
        let s = ConvShape { batch: n, cin, cout, h, w: h, ho: h, wo: h, kernel: 3, stride: 1, pad: 1 };
        let fl = 2.0 * (n * cout * cin * 9 * h * h) as f64;
        let mut dw = dev.zeros_like(&(cout, cin, 3, 3));
        let mut dx = dev.zeros_like(&(n, cin, h, h));
        for pass in 0..3 {
            let mut best = f64::MAX;
            for _ in 0..10 {
                let t = Instant::now();
                match pass {
                    0 => dev.conv2d(&s, Cpu::read(&x), Cpu::read(&w), Some(Cpu::read(&b)), Cpu::write(&mut y)),
                    1 => dev.conv2d_backward_input(&s, Cpu::read(&w), Cpu::read(&y), Cpu::write(&mut dx)),
                    _ => dev.conv2d_backward_weight(&s, Cpu::read(&x), Cpu::read(&y), Cpu::write(&mut dw)),
                }
                best = best.min(t.elapsed().as_secs_f64());
            }
            println!("{n} {cin}->{cout} {h}x{h} pass {pass}: {:.1} GFLOP/s  {:.2} ms", fl / best / 1e9, best * 1e3);
        }
        let s = NormShape { batch: n, channels: cin, pixels: h * h, groups: 8, eps: 1e-5, silu: true };
        let g = dev.ones_like(&(cin,));
        let mut y2 = dev.zeros_like(&(n, cin, h, h));
        let (mut dg, mut db) = (g.clone(), g.clone());
        for pass in 0..2 {
            let mut best = f64::MAX;
            for _ in 0..10 {
                let t = Instant::now();
                match pass {
                    0 => dev.group_norm(&s, Cpu::read(&x), Cpu::read(&g), Cpu::read(&g), Cpu::write(&mut y2)),
                    _ => dev.group_norm_backward(&s, Cpu::read(&x), Cpu::read(&g), Cpu::read(&g), Cpu::read(&x), Cpu::write(&mut dx), Cpu::write(&mut dg), Cpu::write(&mut db)),
                }
                best = best.min(t.elapsed().as_secs_f64());
            }
            println!("   norm pass {pass}: {:.2} ms {:.2} GB/s", best * 1e3, (n * cin * h * h * 4) as f64 / best / 1e9);
        }
    }
}
