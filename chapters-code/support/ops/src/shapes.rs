//! What kernels are told, apart from where their inputs and outputs are.

/// Sizes of one convolution: `x (batch, cin, h, w)` to `y (batch, cout, ho, wo)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    pub batch: usize,
    pub cin: usize,
    pub cout: usize,
    pub h: usize,
    pub w: usize,
    pub ho: usize,
    pub wo: usize,
    /// Side of the square kernel.
    pub kernel: usize,
    pub stride: usize,
    /// Rows and columns of zeros before the image (above and to the left).
    pub pad: usize,
}

/// What a convolution adds to its result in the same pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Added<R> {
    /// One number per output channel, `(cout)`.
    pub bias: Option<R>,
    /// One number per image and output channel, `(batch, cout)`.
    pub channels: Option<R>,
    /// Images like the result, `(batch, cout, ho, wo)`.
    pub images: Option<R>,
}

/// Sizes of one group normalisation over `(batch, channels, pixels)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormShape {
    pub batch: usize,
    pub channels: usize,
    pub pixels: usize,
    pub groups: usize,
    /// Added to the variance before the root is taken.
    pub eps: f32,
    /// Whether SiLU follows in the same pass.
    pub silu: bool,
}

/// The numbers of one AdamW update (Loshchilov & Hutter 2019, algorithm 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    pub learning_rate: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    pub weight_decay: f32,
    /// `1 - beta1^step`, counting steps from 1.
    pub bias_correction1: f32,
    /// `1 - beta2^step`.
    pub bias_correction2: f32,
    /// Factor applied to every gradient (gradient clipping); 1 for none.
    pub gradient_scale: f32,
}

/// Sizes of one linear map: `x (rows, inputs)` to `y (rows, outputs)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
}

/// Sizes of one enlargement: `x (planes, h, w)` to `y (planes, ho, wo)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpsampleShape {
    pub planes: usize,
    pub h: usize,
    pub w: usize,
    pub ho: usize,
    pub wo: usize,
}

/// Sizes of one attention: `q (heads, d, pixels)` over `k` and `v (heads, d, places)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Heads of all images: batch times heads per image.
    pub heads: usize,
    /// Channels of one head.
    pub d: usize,
    pub pixels: usize,
    pub places: usize,
}

/// Where rows are in memory: row i begins at `start + i · stride`, and ends before
/// `(i + 1) · stride`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowLayout {
    pub start: usize,
    pub stride: usize,
}

/// A copy of `rows` rows of `len` elements each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowCopy {
    pub rows: usize,
    pub len: usize,
    pub from: RowLayout,
    pub to: RowLayout,
}

impl RowCopy {
    /// One row of `len` elements that begins at `from` and is copied to `to`.
    pub fn one(len: usize, from: usize, to: usize) -> Self {
        let [from, to] = [from, to].map(|start| RowLayout { start, stride: start + len });
        Self { rows: 1, len, from, to }
    }

    /// The same rows, copied the other way.
    pub fn reversed(self) -> Self {
        Self { from: self.to, to: self.from, ..self }
    }
}

/// What a kernel does with the numbers that are already in its output. In CUDA this is the flag
/// `accumulate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Replaces them.
    Overwrite = 0,
    /// Adds to them.
    Add = 1,
}
