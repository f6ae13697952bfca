//! The kernels on a GPU. Their source, `kernels.cu`, is compiled when the first of them is needed;
//! they run on dfdx's own stream.

use std::fmt::Write as _;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use cudarc::driver::{
    CudaDevice, DevicePtr, DevicePtrMut, DeviceRepr, DeviceSlice, LaunchAsync, LaunchConfig,
};
use dfdx::prelude::*;
use dfdx::tensor::Storage;

use crate::kernels::Kernels;
use crate::memory::{Buffer, Memory, Outputs};
use crate::parallel::Parallel;
use crate::shapes::{
    AdamW, Added, AttentionShape, ConvShape, LinearShape, NormShape, RowCopy, Store, UpsampleShape,
};

const SOURCE: &str = include_str!("kernels.cu");
const MODULE: &str = "ops";
const KERNELS: [&str; 22] = [
    "ops_conv2d",
    "ops_conv2d_backward_input",
    "ops_conv2d_backward_weight",
    "ops_sum_pieces",
    "ops_matmul",
    "ops_sum_per_channel",
    "ops_sum_of_squares",
    "ops_softmax",
    "ops_softmax_backward",
    "ops_norm_statistics",
    "ops_norm",
    "ops_norm_means",
    "ops_norm_backward_input",
    "ops_norm_backward_parameters",
    "ops_silu",
    "ops_silu_backward",
    "ops_upsample",
    "ops_upsample_backward",
    "ops_accumulate",
    "ops_copy_rows",
    "ops_adamw",
    "ops_blend",
];
/// Threads in a block, as in `kernels.cu`.
const THREADS: u32 = 256;
/// Side of the square of results that a block of a product computes, as in `kernels.cu`.
const TILE: usize = 64;

/// `Conv` of `kernels.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Conv([i32; 10]);
// SAFETY: plain numbers, laid out as the kernel expects.
unsafe impl DeviceRepr for Conv {}

impl From<&ConvShape> for Conv {
    fn from(s: &ConvShape) -> Self {
        Self(
            [s.batch, s.cin, s.cout, s.h, s.w, s.ho, s.wo, s.kernel, s.stride, s.pad]
                .map(|v| v as i32),
        )
    }
}

/// `Matmul` of `kernels.cu`: batch, m, n, k, then, for each operand, the steps to the next matrix
/// of the batch, the next row and the next column.
#[repr(C)]
#[derive(Clone, Copy)]
struct Matmul {
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
    a: [usize; 3],
    b: [usize; 3],
}
// SAFETY: plain 64-bit numbers, laid out as the kernel expects.
unsafe impl DeviceRepr for Matmul {}

/// `Norm` of `kernels.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Norm([i32; 5], f32);
// SAFETY: plain numbers, laid out as the kernel expects.
unsafe impl DeviceRepr for Norm {}

impl From<&NormShape> for Norm {
    fn from(s: &NormShape) -> Self {
        Self([s.batch, s.channels, s.pixels, s.groups, s.silu as usize].map(|v| v as i32), s.eps)
    }
}

/// `Adam` of `kernels.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Adam([f32; 8]);
// SAFETY: plain numbers, laid out as the kernel expects.
unsafe impl DeviceRepr for Adam {}

/// Numbers in the GPU's memory that live as long as what they were taken from.
#[derive(Clone, Copy)]
pub struct DeviceRead<'a> {
    pointer: u64,
    len: usize,
    owner: PhantomData<&'a ()>,
}

/// Numbers in the GPU's memory, for writing.
pub struct DeviceWrite<'a> {
    pointer: u64,
    len: usize,
    owner: PhantomData<&'a mut ()>,
}

/// The address of a tensor's storage. dfdx keeps it to itself, but prints it with `{:?}`; a test
/// makes sure that it still does.
fn address<S: Shape>(t: &Tensor<S, f32, Cuda>) -> u64 {
    const KEY: &str = "cu_device_ptr: ";
    /// Collects text until the number after KEY is complete, then stops the printing.
    struct Find(String);
    impl std::fmt::Write for Find {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.push_str(text);
            let found = self.0.find(KEY).map(|at| &self.0[at + KEY.len()..]);
            match found {
                Some(rest) if rest.contains(|c: char| !c.is_ascii_digit()) => Err(std::fmt::Error),
                _ => Ok(()),
            }
        }
    }
    let mut find = Find(String::new());
    // The error only stops the printing.
    let _ = write!(find, "{t:?}");
    let at = find.0.find(KEY).expect("dfdx 0.13.0 prints the address of a tensor") + KEY.len();
    let digits = find.0[at..].split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().expect("the address is a number")
}

fn pointer_of<S: Shape>(t: &Tensor<S, f32, Cuda>) -> (u64, usize) {
    let len = t.shape().num_elements();
    assert!(len > 0, "a tensor without elements");
    let pointer = address(t);
    // A contiguous tensor keeps its storage when it is reshaped; any other is copied.
    let flat = t.clone().reshape_like(&(len,));
    assert_eq!(address(&flat), pointer, "the tensor is not contiguous: call .contiguous() first");
    (pointer, len)
}

/// dfdx's handle to the GPU, with our kernels loaded. Only one GPU is used, the first.
fn gpu(device: &Cuda) -> &'static Arc<CudaDevice> {
    static GPU: OnceLock<Arc<CudaDevice>> = OnceLock::new();
    GPU.get_or_init(|| {
        let gpu = allocate(device, 1).device();
        let ptx = cudarc::nvrtc::compile_ptx(SOURCE)
            .unwrap_or_else(|e| panic!("the CUDA kernels do not compile: {e:?}"));
        gpu.load_ptx(ptx, MODULE, &KERNELS)
            .unwrap_or_else(|e| panic!("the CUDA kernels do not load: {e:?}"));
        gpu
    })
}

/// Zeros.
fn allocate(device: &Cuda, len: usize) -> Buffer<Cuda> {
    Storage::<f32>::try_alloc_len(device, len).unwrap_or_else(|e| {
        panic!("the GPU has no memory for {len} numbers ({e:?}): try a smaller --batch-size")
    })
}

/// Launches a kernel with this many blocks.
macro_rules! launch_blocks {
    ($device:expr, $name:literal, $blocks:expr, ($($argument:expr),+ $(,)?)) => {{
        let blocks = u32::try_from($blocks).expect("a kernel has fewer than 2^32 blocks");
        let (grid_dim, block_dim) = ((blocks, 1, 1), (THREADS, 1, 1));
        let config = LaunchConfig { grid_dim, block_dim, shared_mem_bytes: 0 };
        let function = gpu($device).get_func(MODULE, $name);
        let function = function.expect(concat!("there is a kernel ", $name));
        // SAFETY: the arguments match the parameters of the kernel of this name in kernels.cu.
        // The kernel's reads and writes stay within the lengths that the shapes give. The functions
        // of this crate take the shapes from the tensors whose memory they pass, and check those
        // that could differ. Code that calls a kernel directly has to do the same.
        unsafe { function.launch(config, ($($argument,)+)) }
            .unwrap_or_else(|e| panic!("the GPU rejected the kernel {}: {e:?}", $name));
    }};
}

/// Launches a kernel with one thread per result.
macro_rules! launch {
    ($device:expr, $name:literal, $count:expr, $arguments:tt) => {{
        let count: usize = $count;
        launch_blocks!($device, $name, count.div_ceil(THREADS as usize), $arguments)
    }};
}

/// How many blocks a product with `(m, n)` results takes.
fn tiles(m: usize, n: usize) -> usize {
    m.div_ceil(TILE) * n.div_ceil(TILE)
}

/// `c = factor · a · b + bias`, or `c += …` with `accumulate`.
fn matmul(device: &Cuda, s: Matmul, [a, b, bias]: [u64; 3], c: u64, factor: f32, accumulate: bool) {
    let blocks = s.batch * tiles(s.m, s.n);
    launch_blocks!(device, "ops_matmul", blocks, (s, a, b, bias, c, factor, accumulate as i32));
}

impl Memory for Cuda {
    type Read<'a> = DeviceRead<'a>;
    type Write<'a> = DeviceWrite<'a>;

    fn read<S: Shape>(t: &Tensor<S, f32, Self>) -> DeviceRead<'_> {
        let (pointer, len) = pointer_of(t);
        DeviceRead { pointer, len, owner: PhantomData }
    }
    fn write<S: Shape>(t: &mut Tensor<S, f32, Self>) -> DeviceWrite<'_> {
        // An in-place operation that changes nothing, but first copies storage that others share.
        let zeros = t.device().zeros_like(t.shape());
        t.axpy(1.0, &zeros, 0.0);
        let (pointer, len) = pointer_of(t);
        DeviceWrite { pointer, len, owner: PhantomData }
    }
    fn write_unshared<S: Shape>(t: &mut Tensor<S, f32, Self>) -> DeviceWrite<'_> {
        let (pointer, len) = pointer_of(t);
        DeviceWrite { pointer, len, owner: PhantomData }
    }
    fn read_buffer(b: &Buffer<Self>) -> DeviceRead<'_> {
        DeviceRead { pointer: *b.device_ptr(), len: b.len(), owner: PhantomData }
    }
    fn write_buffer(b: &mut Buffer<Self>) -> DeviceWrite<'_> {
        DeviceWrite { pointer: *b.device_ptr_mut(), len: b.len(), owner: PhantomData }
    }
    fn reborrow<'a>(elements: &'a mut DeviceWrite<'_>) -> DeviceWrite<'a> {
        let DeviceWrite { pointer, len, .. } = *elements;
        DeviceWrite { pointer, len, owner: PhantomData }
    }
}

impl Outputs for Cuda {
    fn output<S: Shape>(
        &self,
        shape: S,
        fill: impl FnOnce(DeviceWrite<'_>),
    ) -> Tensor<S, f32, Self> {
        let mut y = self.zeros_like(&shape);
        fill(Self::write_unshared(&mut y));
        y
    }
}

impl Parallel for Cuda {}

impl Kernels for Cuda {
    type Memo = ();

    fn conv2d(
        &self,
        s: &ConvShape,
        x: DeviceRead,
        w: DeviceRead,
        _: Option<&()>,
        added: Added<DeviceRead>,
        y: DeviceWrite,
    ) {
        let Added { bias, channels, images } = added;
        let [bias, channels, images] = [bias, channels, images].map(|a| a.map_or(0, |a| a.pointer));
        let blocks = tiles(s.cout, s.batch * s.ho * s.wo);
        let s = Conv::from(s);
        launch_blocks!(
            self,
            "ops_conv2d",
            blocks,
            (s, x.pointer, w.pointer, bias, channels, images, y.pointer)
        );
    }
    fn conv2d_backward_input(
        &self,
        s: &ConvShape,
        w: DeviceRead,
        dy: DeviceRead,
        dx: DeviceWrite,
        store: Store,
    ) {
        let blocks = tiles(s.cin, s.batch * s.h * s.w);
        launch_blocks!(
            self,
            "ops_conv2d_backward_input",
            blocks,
            (Conv::from(s), w.pointer, dy.pointer, dx.pointer, store as i32)
        );
    }
    fn conv2d_backward_weight(
        &self,
        s: &ConvShape,
        x: DeviceRead,
        dy: DeviceRead,
        dw: DeviceWrite,
    ) {
        let (m, n, k) = (s.cout, s.cin * s.kernel * s.kernel, s.batch * s.ho * s.wo);
        // Enough blocks to keep a GPU busy, each with enough to add up.
        let pieces = (1024 / tiles(m, n)).clamp(1, k.div_ceil(256));
        let partial = allocate(self, pieces * m * n);
        let at = *partial.device_ptr();
        let blocks = pieces * tiles(m, n);
        let s = Conv::from(s);
        launch_blocks!(
            self,
            "ops_conv2d_backward_weight",
            blocks,
            (s, pieces as i32, x.pointer, dy.pointer, at)
        );
        launch!(self, "ops_sum_pieces", m * n, ((m * n) as i64, pieces as i32, at, dw.pointer));
    }
    fn sum_per_channel(
        &self,
        batch: usize,
        channels: usize,
        pixels: usize,
        dy: DeviceRead,
        db: DeviceWrite,
    ) {
        let dims = (batch as i32, channels as i32, pixels as i32);
        launch_blocks!(
            self,
            "ops_sum_per_channel",
            channels,
            (dims.0, dims.1, dims.2, dy.pointer, db.pointer)
        );
    }

    fn linear(
        &self,
        &LinearShape { rows, inputs, outputs }: &LinearShape,
        x: DeviceRead,
        w: DeviceRead,
        b: Option<DeviceRead>,
        y: DeviceWrite,
    ) {
        let s = Matmul {
            batch: 1,
            m: rows,
            n: outputs,
            k: inputs,
            a: [0, inputs, 1],
            b: [0, 1, inputs],
        };
        matmul(self, s, [x.pointer, w.pointer, b.map_or(0, |b| b.pointer)], y.pointer, 1.0, false);
    }
    fn linear_backward_input(
        &self,
        &LinearShape { rows, inputs, outputs }: &LinearShape,
        w: DeviceRead,
        dy: DeviceRead,
        dx: DeviceWrite,
    ) {
        let s = Matmul {
            batch: 1,
            m: rows,
            n: inputs,
            k: outputs,
            a: [0, outputs, 1],
            b: [0, inputs, 1],
        };
        matmul(self, s, [dy.pointer, w.pointer, 0], dx.pointer, 1.0, true);
    }
    fn linear_backward_weight(
        &self,
        &LinearShape { rows, inputs, outputs }: &LinearShape,
        x: DeviceRead,
        dy: DeviceRead,
        dw: DeviceWrite,
    ) {
        let s = Matmul {
            batch: 1,
            m: outputs,
            n: inputs,
            k: rows,
            a: [0, 1, outputs],
            b: [0, inputs, 1],
        };
        matmul(self, s, [dy.pointer, x.pointer, 0], dw.pointer, 1.0, true);
    }

    fn group_norm(
        &self,
        s: &NormShape,
        x: DeviceRead,
        gamma: DeviceRead,
        beta: DeviceRead,
        statistics: DeviceWrite,
        y: DeviceWrite,
    ) {
        let st = statistics.pointer;
        launch_blocks!(
            self,
            "ops_norm_statistics",
            s.batch * s.groups,
            (Norm::from(s), x.pointer, st)
        );
        launch!(
            self,
            "ops_norm",
            y.len,
            (Norm::from(s), x.pointer, gamma.pointer, beta.pointer, st, y.pointer)
        );
    }
    fn group_norm_backward(
        &self,
        s: &NormShape,
        x: DeviceRead,
        statistics: DeviceRead,
        gamma: DeviceRead,
        beta: DeviceRead,
        dy: DeviceRead,
        dx: DeviceWrite,
        dgamma: DeviceWrite,
        dbeta: DeviceWrite,
    ) {
        let groups = s.batch * s.groups;
        let means = allocate(self, 2 * groups);
        let (st, me, n) = (statistics.pointer, *means.device_ptr(), Norm::from(s));
        let (x, gamma, beta, dy) = (x.pointer, gamma.pointer, beta.pointer, dy.pointer);
        launch_blocks!(self, "ops_norm_means", groups, (n, x, gamma, beta, st, dy, me));
        launch!(
            self,
            "ops_norm_backward_input",
            dx.len,
            (n, x, gamma, beta, st, me, dy, dx.pointer)
        );
        let parameters = (dgamma.pointer, dbeta.pointer);
        launch_blocks!(
            self,
            "ops_norm_backward_parameters",
            s.channels,
            (n, x, gamma, beta, st, dy, parameters.0, parameters.1)
        );
    }

    fn silu(&self, x: DeviceRead, y: DeviceWrite) {
        launch!(self, "ops_silu", y.len, (y.len as i64, x.pointer, y.pointer));
    }
    fn silu_backward(&self, x: DeviceRead, dy: DeviceRead, dx: DeviceWrite) {
        launch!(
            self,
            "ops_silu_backward",
            dx.len,
            (dx.len as i64, x.pointer, dy.pointer, dx.pointer)
        );
    }

    fn upsample(&self, s: &UpsampleShape, x: DeviceRead, y: DeviceWrite) {
        let &UpsampleShape { planes, h, w, ho, wo } = s;
        let d = [h, w, ho, wo].map(|v| v as i32);
        launch!(
            self,
            "ops_upsample",
            y.len,
            (planes as i64, d[0], d[1], d[2], d[3], x.pointer, y.pointer)
        );
    }
    fn upsample_backward(&self, s: &UpsampleShape, dy: DeviceRead, dx: DeviceWrite) {
        let &UpsampleShape { planes, h, w, ho, wo } = s;
        let d = [h, w, ho, wo].map(|v| v as i32);
        launch!(
            self,
            "ops_upsample_backward",
            dx.len,
            (planes as i64, d[0], d[1], d[2], d[3], dy.pointer, dx.pointer)
        );
    }

    fn attention(
        &self,
        s: &AttentionShape,
        q: DeviceRead,
        k: DeviceRead,
        v: DeviceRead,
        y: DeviceWrite,
    ) {
        let &AttentionShape { heads, d, pixels: n, places: m } = s;
        let weights = attention_weights(self, s, q, k);
        let s = Matmul { batch: heads, m: d, n, k: m, a: [d * m, m, 1], b: [n * m, 1, m] };
        matmul(self, s, [v.pointer, *weights.device_ptr(), 0], y.pointer, 1.0, false);
    }
    fn attention_backward(
        &self,
        s: &AttentionShape,
        q: DeviceRead,
        k: DeviceRead,
        v: DeviceRead,
        dy: DeviceRead,
        dq: DeviceWrite,
        dk: DeviceWrite,
        dv: DeviceWrite,
    ) {
        let &AttentionShape { heads, d, pixels: n, places: m } = s;
        let weights = attention_weights(self, s, q, k);
        let scores = allocate(self, heads * n * m);
        let (we, sc) = (*weights.device_ptr(), *scores.device_ptr());
        let scale = 1.0 / (d as f32).sqrt();
        // (n, m) from (d, n), read by columns, and (d, m).
        let outer = Matmul { batch: heads, m: n, n: m, k: d, a: [d * n, 1, n], b: [d * m, m, 1] };
        matmul(self, outer, [dy.pointer, v.pointer, 0], sc, 1.0, false);
        launch_blocks!(self, "ops_softmax_backward", heads * n, (m as i32, we, sc));
        // (d, n) from (d, m) and the transpose of (n, m); (d, m) from (d, n) and (n, m) itself.
        let turned = Matmul { batch: heads, m: d, n, k: m, a: [d * m, m, 1], b: [n * m, 1, m] };
        let straight =
            Matmul { batch: heads, m: d, n: m, k: n, a: [d * n, n, 1], b: [n * m, m, 1] };
        matmul(self, turned, [k.pointer, sc, 0], dq.pointer, scale, true);
        matmul(self, straight, [q.pointer, sc, 0], dk.pointer, scale, true);
        matmul(self, straight, [dy.pointer, we, 0], dv.pointer, 1.0, true);
    }

    fn accumulate(&self, a: DeviceRead, y: DeviceWrite) {
        launch!(self, "ops_accumulate", y.len, (y.len as i64, a.pointer, y.pointer));
    }
    fn copy_rows(&self, c: &RowCopy, src: DeviceRead, dst: DeviceWrite, store: Store) {
        let [from, to] = [c.from, c.to].map(|at| (at.stride as i64, at.start as i64));
        let (rows, len, accumulate) = (c.rows as i64, c.len as i64, store as i32);
        launch!(
            self,
            "ops_copy_rows",
            c.rows * c.len,
            (rows, len, src.pointer, from.0, from.1, dst.pointer, to.0, to.1, accumulate)
        );
    }

    fn adamw(&self, h: &AdamW, p: DeviceWrite, g: DeviceRead, m: DeviceWrite, v: DeviceWrite) {
        let corrections = [h.bias_correction1, h.bias_correction2];
        let numbers = [
            h.learning_rate,
            h.beta1,
            h.beta2,
            h.eps,
            h.weight_decay,
            corrections[0],
            corrections[1],
            h.gradient_scale,
        ];
        launch!(
            self,
            "ops_adamw",
            p.len,
            (p.len as i64, Adam(numbers), p.pointer, g.pointer, m.pointer, v.pointer)
        );
    }
    fn blend(&self, keep: f32, x: DeviceRead, y: DeviceWrite) {
        launch!(self, "ops_blend", y.len, (y.len as i64, keep, x.pointer, y.pointer));
    }
    fn sum_of_squares(&self, x: DeviceRead, sums: DeviceWrite, index: usize) {
        assert!(index < sums.len, "there is a place for the sum");
        let at = sums.pointer + (index * std::mem::size_of::<f32>()) as u64;
        launch_blocks!(self, "ops_sum_of_squares", 1usize, (x.len as i64, x.pointer, at));
    }
}

fn attention_weights(
    device: &Cuda,
    &AttentionShape { heads, d, pixels: n, places: m }: &AttentionShape,
    q: DeviceRead,
    k: DeviceRead,
) -> Buffer<Cuda> {
    let weights = allocate(device, heads * n * m);
    let at = *weights.device_ptr();
    let scores = Matmul { batch: heads, m: n, n: m, k: d, a: [d * n, 1, n], b: [d * m, m, 1] };
    matmul(device, scores, [q.pointer, k.pointer, 0], at, 1.0 / (d as f32).sqrt(), false);
    launch_blocks!(device, "ops_softmax", heads * n, (m as i32, at));
    weights
}
