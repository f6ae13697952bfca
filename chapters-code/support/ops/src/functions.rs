//! The differentiable functions: shapes, tapes and gradients. The arithmetic is in the device's
//! [`Kernels`](crate::Kernels).

use dfdx::prelude::*;

use crate::conv_input::ConvInput;
use crate::conv_weight::ConvWeight;
use crate::device::UNetDevice;
use crate::memory::{Buffer, Images, Rows, Vector};
use crate::shapes::{
    AdamW, Added, AttentionShape, ConvShape, LinearShape, RowCopy, RowLayout, Store, UpsampleShape,
};
use crate::tape::take_gradient;

/// A tensor with these values, in memory that was used before, if there is any. Use it for a tensor
/// that is made anew in every step: `tensor_from_vec` allocates new memory each time, and dfdx's
/// cache then keeps that memory, but nothing takes it out again.
///
/// # Panics
/// If `values` do not fill the shape.
pub fn tensor<S: Shape, D: UNetDevice>(
    device: &D,
    values: Vec<f32>,
    shape: S,
) -> Tensor<S, f32, D> {
    let mut tensor = device.output(shape, |_| ());
    tensor.copy_from(&values);
    tensor
}

/// Geometry of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Distance between neighbouring positions of the kernel, at least 1.
    pub stride: usize,
    /// Zeros before the image: above and to the left.
    pub pad_before: usize,
    /// Zeros after the image: below and to the right.
    pub pad_after: usize,
}

impl Conv2dOptions {
    /// Stride 1, and this many zeros on each of the four sides.
    pub fn padded(padding: usize) -> Self {
        Self { stride: 1, pad_before: padding, pad_after: padding }
    }

    /// The same padding with another stride.
    pub fn with_stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }
}

impl Conv2dOptions {
    /// The sizes of `x (batch, cin, h, w)` convolved with `weight (cout, cin, k, k)`.
    fn shape<D: UNetDevice>(
        self,
        x: (usize, usize, usize, usize),
        weight: &ConvWeight<D>,
    ) -> ConvShape {
        let (batch, cin, h, w) = x;
        let (cout, wcin, kernel, kw) = *weight.values.shape();
        assert_eq!(kernel, kw, "conv2d: the kernel is {kernel}x{kw}, but must be square");
        assert_eq!(cin, wcin, "conv2d: the input has {cin} channels, the weight expects {wcin}");
        let pad = self.pad_before + self.pad_after;
        assert!(
            h + pad >= kernel && w + pad >= kernel,
            "conv2d: a {h}x{w} image is too small for a {kernel}x{kernel} kernel"
        );
        let (ho, wo) = ((h + pad - kernel) / self.stride + 1, (w + pad - kernel) / self.stride + 1);
        ConvShape {
            batch,
            cin,
            cout,
            h,
            w,
            ho,
            wo,
            kernel,
            stride: self.stride,
            pad: self.pad_before,
        }
    }
}

/// 2-D convolution (cross-correlation, as in every deep-learning library).
///
/// `x` is `(batch, cin, h, w)`, `weight` is `(cout, cin, k, k)`, `bias` is `(cout)`; the result is
/// `(batch, cout, ho, wo)` with `ho = (h + pad_before + pad_after - k) / stride + 1`.
///
/// # Panics
/// If the shapes do not fit, or the kernel is larger than the padded image.
pub fn conv2d<'a, D: UNetDevice, T: Tape<f32, D>>(
    x: impl Into<ConvInput<D, T>>,
    weight: impl Into<ConvWeight<'a, D>>,
    bias: Option<&Vector<D>>,
    options: Conv2dOptions,
) -> Images<D, T> {
    let (x, weight) = (x.into(), weight.into());
    let s = options.shape(x.shape(), &weight);
    let (x, tape) = x.split_tape();
    convolve(s, x, weight, bias, None, None, tape)
}

/// [`conv2d`] with `channels (batch, cout)` added to every pixel: how the time embedding enters a
/// block.
///
/// # Panics
/// As [`conv2d`] does, or if `channels` has the wrong shape.
pub fn conv2d_plus_channels<'a, D: UNetDevice, T: Tape<f32, D> + Merge<T>>(
    x: impl Into<ConvInput<D, T>>,
    weight: impl Into<ConvWeight<'a, D>>,
    bias: Option<&Vector<D>>,
    options: Conv2dOptions,
    channels: Rows<D, T>,
) -> Images<D, T> {
    let (x, weight) = (x.into(), weight.into());
    let s = options.shape(x.shape(), &weight);
    assert_eq!(
        *channels.shape(),
        (s.batch, s.cout),
        "conv2d_plus_channels: one number per image and channel"
    );
    let ((x, tape), (channels, tape_of_channels)) = (x.split_tape(), channels.split_tape());
    convolve(s, x, weight, bias, Some(channels), None, tape.merge(tape_of_channels))
}

/// [`conv2d`] plus `images`, which have the shape of its result: how a residual block ends.
///
/// # Panics
/// As [`conv2d`] does, or if `images` has the wrong shape.
pub fn conv2d_plus_images<'a, D: UNetDevice, T: Tape<f32, D> + Merge<T>>(
    x: impl Into<ConvInput<D, T>>,
    weight: impl Into<ConvWeight<'a, D>>,
    bias: Option<&Vector<D>>,
    options: Conv2dOptions,
    images: Images<D, T>,
) -> Images<D, T> {
    let (x, weight) = (x.into(), weight.into());
    let s = options.shape(x.shape(), &weight);
    assert_eq!(
        *images.shape(),
        (s.batch, s.cout, s.ho, s.wo),
        "conv2d_plus_images: images like the result"
    );
    let ((x, tape), (images, tape_of_images)) = (x.split_tape(), images.split_tape());
    convolve(s, x, weight, bias, None, Some(images), tape.merge(tape_of_images))
}

/// A linear map over channels, the same at every pixel: a 1×1 convolution with a `(cout, cin)`
/// weight.
///
/// # Panics
/// If the channel counts do not fit.
pub fn pointwise<D: UNetDevice, T: Tape<f32, D>>(
    x: Images<D, T>,
    weight: &Rows<D>,
    bias: Option<&Vector<D>>,
) -> Images<D, T> {
    let s = pointwise_shape(*x.shape(), weight);
    let (x, tape) = ConvInput::from(x).split_tape();
    convolve(s, x, weight.into(), bias, None, None, tape)
}

/// [`pointwise`] plus `images`, which have the shape of its result.
///
/// # Panics
/// If the shapes do not fit.
pub fn pointwise_plus_images<D: UNetDevice, T: Tape<f32, D> + Merge<T>>(
    x: Images<D, T>,
    weight: &Rows<D>,
    bias: Option<&Vector<D>>,
    images: Images<D, T>,
) -> Images<D, T> {
    let s = pointwise_shape(*x.shape(), weight);
    assert_eq!(
        *images.shape(),
        (s.batch, s.cout, s.ho, s.wo),
        "pointwise_plus_images: images like the result"
    );
    let ((x, tape), (images, tape_of_images)) =
        (ConvInput::from(x).split_tape(), images.split_tape());
    convolve(s, x, weight.into(), bias, None, Some(images), tape.merge(tape_of_images))
}

fn pointwise_shape<D: UNetDevice>(
    (batch, cin, h, w): (usize, usize, usize, usize),
    weight: &Rows<D>,
) -> ConvShape {
    let (cout, wcin) = *weight.shape();
    assert_eq!(cin, wcin, "pointwise: the input has {cin} channels, the weight expects {wcin}");
    ConvShape { batch, cin, cout, h, w, ho: h, wo: w, kernel: 1, stride: 1, pad: 0 }
}

fn check_bias<D: UNetDevice>(bias: Option<&Vector<D>>, outputs: usize) {
    let count = bias.map_or(outputs, |bias| bias.shape().0);
    assert_eq!(count, outputs, "a bias has a number for each output channel or feature");
}

fn convolve<D: UNetDevice, T: Tape<f32, D>, W: Shape>(
    s: ConvShape,
    x: ConvInput<D>,
    weight: ConvWeight<D, W>,
    bias: Option<&Vector<D>>,
    channels: Option<Rows<D>>,
    images: Option<Images<D>>,
    mut tape: T,
) -> Images<D, T> {
    check_bias(bias, s.cout);
    // While a network is learning, its weights change, so the memo is not used.
    let (weight, memo) = (weight.values, weight.memo.filter(|_| !T::OWNS_TAPE));
    let dev = weight.device().clone();
    let x = x.ready();
    let y = dev.output((s.batch, s.cout, s.ho, s.wo), |y| {
        let (channels, images) = (channels.as_ref().map(D::read), images.as_ref().map(D::read));
        let added = Added { bias: bias.map(D::read), channels, images };
        dev.conv2d(&s, x.read(), D::read(weight), memo, added, y)
    });
    if T::OWNS_TAPE {
        let (ghost, weight, bias) = (y.ghost(), weight.clone(), bias.cloned());
        let (channels, images) = (channels.map(|c| c.ghost()), images.map(|i| i.ghost()));
        let pixels = s.ho * s.wo;
        tape.add_backward_op(move |grads| {
            let dy = take_gradient!(grads, ghost, dev);
            let dy = D::read_buffer(&dy);
            let dw = D::write_buffer(grads.get_or_alloc_mut(&weight)?);
            dev.conv2d_backward_weight(&s, x.read(), dy, dw);
            if let Some(bias) = &bias {
                dev.sum_per_channel(
                    s.batch,
                    s.cout,
                    pixels,
                    dy,
                    D::write_buffer(grads.get_or_alloc_mut(bias)?),
                );
            }
            if let Some(channels) = &channels {
                let dc = D::write_buffer(grads.get_or_alloc_mut(channels)?);
                dev.sum_per_channel(1, s.batch * s.cout, pixels, dy, dc);
            }
            if let Some(images) = &images {
                dev.accumulate(dy, D::write_buffer(grads.get_or_alloc_mut(images)?));
            }
            x.backward(grads, |dx, store| {
                dev.conv2d_backward_input(&s, D::read(&weight), dy, dx, store)
            })
        });
    }
    y.put_tape(tape)
}

/// `x · weightᵀ + bias` for `x (rows, inp)`, `weight (out, inp)`, `bias (out)`.
///
/// # Panics
/// If the shapes do not fit.
pub fn linear<D: UNetDevice, T: Tape<f32, D>>(
    x: Rows<D, T>,
    weight: &Rows<D>,
    bias: Option<&Vector<D>>,
) -> Rows<D, T> {
    let (rows, inp) = *x.shape();
    let (out, winp) = *weight.shape();
    assert_eq!(inp, winp, "linear: the input has {inp} features, the weight expects {winp}");
    check_bias(bias, out);
    let (x, mut tape) = x.split_tape();
    let dev = x.device().clone();
    let s = LinearShape { rows, inputs: inp, outputs: out };
    let y = dev.output((rows, out), |y| {
        dev.linear(&s, D::read(&x), D::read(weight), bias.map(D::read), y)
    });
    if T::OWNS_TAPE {
        let (ghost, weight, bias) = (y.ghost(), weight.clone(), bias.cloned());
        tape.add_backward_op(move |grads| {
            let dy = take_gradient!(grads, ghost, dev);
            let dy = D::read_buffer(&dy);
            if let Some(bias) = &bias {
                let db = D::write_buffer(grads.get_or_alloc_mut(bias)?);
                dev.sum_per_channel(rows, out, 1, dy, db);
            }
            let dw = D::write_buffer(grads.get_or_alloc_mut(&weight)?);
            dev.linear_backward_weight(&s, D::read(&x), dy, dw);
            let dx = D::write_buffer(grads.get_or_alloc_mut(&x)?);
            dev.linear_backward_input(&s, D::read(&weight), dy, dx);
            Ok(())
        });
    }
    y.put_tape(tape)
}

/// The activation x · sigmoid(x), also called swish.
pub fn silu<S: Shape, D: UNetDevice, T: Tape<f32, D>>(
    x: Tensor<S, f32, D, T>,
) -> Tensor<S, f32, D, T> {
    let (x, mut tape) = x.split_tape();
    let dev = x.device().clone();
    let y = dev.output(*x.shape(), |y| dev.silu(D::read(&x), y));
    if T::OWNS_TAPE {
        let ghost = y.ghost();
        tape.add_backward_op(move |grads| {
            let dy = take_gradient!(grads, ghost, dev);
            let dx = D::write_buffer(grads.get_or_alloc_mut(&x)?);
            dev.silu_backward(D::read(&x), D::read_buffer(&dy), dx);
            Ok(())
        });
    }
    y.put_tape(tape)
}

/// Enlarges `(batch, channels, h, w)` to `(batch, channels, ho, wo)`; a pixel takes the value of
/// the nearest source pixel, `floor(i · h / ho)`.
///
/// # Panics
/// If the target is smaller than the source.
pub fn upsample_nearest<D: UNetDevice, T: Tape<f32, D>>(
    x: Images<D, T>,
    ho: usize,
    wo: usize,
) -> Images<D, T> {
    let (batch, channels, h, w) = *x.shape();
    assert!(ho >= h && wo >= w, "upsample_nearest: {ho}x{wo} is smaller than {h}x{w}");
    let s = UpsampleShape { planes: batch * channels, h, w, ho, wo };
    let (x, mut tape) = x.split_tape();
    let dev = x.device().clone();
    let y = dev.output((batch, channels, ho, wo), |y| dev.upsample(&s, D::read(&x), y));
    if T::OWNS_TAPE {
        let ghost = y.ghost();
        tape.add_backward_op(move |grads| {
            let dy = take_gradient!(grads, ghost, dev);
            let dx = D::write_buffer(grads.get_or_alloc_mut(&x)?);
            dev.upsample_backward(&s, D::read_buffer(&dy), dx);
            Ok(())
        });
    }
    y.put_tape(tape)
}

/// How much each pixel of `q` takes from each place of `k`, as a mean over the heads: softmax(qᵀk /
/// √d) (Vaswani et al. 2017, eq. 1). [`attention`] mixes the values in these proportions; this
/// function is for looking at the shares themselves.
///
/// `q` is `(batch, channels, h, w)` and `k` `(batch, channels, h', w')`; the result is
/// `(batch, h' · w', h, w)`. For each pixel, the shares of all places add up to 1.
///
/// # Panics
/// As [`attention`].
pub fn attention_shares<D: UNetDevice>(q: Images<D>, k: Images<D>, heads: usize) -> Images<D> {
    let (pixels, places) = (*q.shape(), *k.shape());
    let (batch, channels, h, w) = pixels;
    assert_eq!((batch, channels), (places.0, places.1), "queries and keys differ");
    assert!(heads > 0 && channels % heads == 0, "{heads} heads do not divide {channels} channels");
    let (each, places) = (channels / heads, places.2 * places.3);
    let q = q.reshape_like(&(batch, heads, each, h * w)).permute::<_, Axes4<0, 1, 3, 2>>();
    let k = k.reshape_like(&(batch, heads, each, places));
    let scores = q.matmul(k) * (each as f32).sqrt().recip();
    let shares = scores.softmax::<Axis<3>>().mean::<_, Axis<1>>();
    shares.permute::<_, Axes3<0, 2, 1>>().reshape_like(&(batch, places, h, w))
}

/// Scaled dot-product attention (Vaswani et al. 2017, eq. 1): every pixel of `q` looks at the
/// places of `k` and `v` in its own image. The result is softmax(qᵀk / √d) applied to v, separately
/// in each of `heads` heads of `d = channels / heads` channels.
///
/// `q` is `(batch, channels, h, w)`; `k` and `v` share a shape `(batch, channels, h', w')`, which
/// is that of `q` when an image looks at itself. The three must be different tensors.
///
/// # Panics
/// If the shapes do not fit or `heads` does not divide the channels.
pub fn attention<D: UNetDevice, T: Tape<f32, D> + Merge<T>>(
    q: Images<D, T>,
    k: Images<D, T>,
    v: Images<D, T>,
    heads: usize,
) -> Images<D, T> {
    let (batch, channels, h, w) = *q.shape();
    let (kb, kc, kh, kw) = *k.shape();
    assert_eq!(
        (batch, channels),
        (kb, kc),
        "attention: queries and keys differ in batch or channels"
    );
    assert_eq!(k.shape(), v.shape(), "attention: keys and values differ in shape");
    assert!(
        heads > 0 && channels % heads == 0,
        "attention: {heads} heads do not divide {channels} channels"
    );
    let s = AttentionShape {
        heads: batch * heads,
        d: channels / heads,
        pixels: h * w,
        places: kh * kw,
    };
    let ((q, tape), (k, tk), (v, tv)) = (q.split_tape(), k.split_tape(), v.split_tape());
    let mut tape = tape.merge(tk).merge(tv);
    let dev = q.device().clone();
    let y = dev.output(*q.shape(), |y| dev.attention(&s, D::read(&q), D::read(&k), D::read(&v), y));
    if T::OWNS_TAPE {
        let ghost = y.ghost();
        tape.add_backward_op(move |grads| {
            let dy = take_gradient!(grads, ghost, dev);
            let mut dq = take_gradient!(grads, q, dev);
            let mut dk = take_gradient!(grads, k, dev);
            let mut dv = take_gradient!(grads, v, dev);
            dev.attention_backward(
                &s,
                D::read(&q),
                D::read(&k),
                D::read(&v),
                D::read_buffer(&dy),
                D::write_buffer(&mut dq),
                D::write_buffer(&mut dk),
                D::write_buffer(&mut dv),
            );
            *grads.get_or_alloc_mut(&q)? = dq;
            *grads.get_or_alloc_mut(&k)? = dk;
            *grads.get_or_alloc_mut(&v)? = dv;
            Ok(())
        });
    }
    y.put_tape(tape)
}

/// Puts the channels of `b` after those of `a`: how a skip connection rejoins the network.
///
/// # Panics
/// If the batch, height or width differs.
pub fn concat_channels<D: UNetDevice, T: Tape<f32, D> + Merge<T>>(
    a: Images<D, T>,
    b: Images<D, T>,
) -> Images<D, T> {
    let ((batch, ca, h, w), (bb, cb, bh, bw)) = (*a.shape(), *b.shape());
    assert_eq!((batch, h, w), (bb, bh, bw), "concat_channels: batch, height and width must agree");
    let ((a, tape), (b, tb)) = (a.split_tape(), b.split_tape());
    let mut tape = tape.merge(tb);
    let dev = a.device().clone();
    let (la, lb) = (ca * h * w, cb * h * w);
    // Each image of `a` or `b` is a row, and so is each image of the result.
    let rows = |start, len| RowCopy {
        rows: batch,
        len,
        from: RowLayout { start: 0, stride: len },
        to: RowLayout { start, stride: la + lb },
    };
    let (front, rear) = (rows(0, la), rows(la, lb));
    let y = dev.output((batch, ca + cb, h, w), |mut y| {
        dev.copy_rows(&front, D::read(&a), D::reborrow(&mut y), Store::Overwrite);
        dev.copy_rows(&rear, D::read(&b), y, Store::Overwrite);
    });
    if T::OWNS_TAPE {
        let (ghost, a, b) = (y.ghost(), a.ghost(), b.ghost());
        tape.add_backward_op(move |grads| {
            let dy = take_gradient!(grads, ghost, dev);
            let dy = D::read_buffer(&dy);
            let da = D::write_buffer(grads.get_or_alloc_mut(&a)?);
            dev.copy_rows(&front.reversed(), dy, da, Store::Add);
            let db = D::write_buffer(grads.get_or_alloc_mut(&b)?);
            dev.copy_rows(&rear.reversed(), dy, db, Store::Add);
            Ok(())
        });
    }
    y.put_tape(tape)
}

/// One AdamW update, in place, of `parameter` with its gradient and its two moments, which have the
/// same number of elements.
///
/// # Panics
/// If they do not have the same number of elements.
pub fn adamw_step<S: Shape, D: UNetDevice>(
    h: &AdamW,
    parameter: &mut Tensor<S, f32, D>,
    gradient: &Buffer<D>,
    m: &mut Vector<D>,
    v: &mut Vector<D>,
) {
    let dev = parameter.device().clone();
    let count = parameter.shape().num_elements();
    let counts = [Storage::<f32>::len(&dev, gradient), m.shape().0, v.shape().0];
    assert_eq!(counts, [count; 3], "adamw_step: a gradient and two moments for each element");
    dev.adamw(h, D::write(parameter), D::read_buffer(gradient), D::write(m), D::write(v));
}

/// `average = keep · average + (1 - keep) · parameter`, in place.
///
/// # Panics
/// If they do not have the same number of elements.
pub fn blend<S: Shape, D: UNetDevice>(
    keep: f32,
    average: &mut Vector<D>,
    parameter: &Tensor<S, f32, D>,
) {
    let counts = [average.shape().0, parameter.shape().num_elements()];
    assert_eq!(counts[0], counts[1], "blend: an average for each element");
    parameter.device().blend(keep, D::read(parameter), D::write(average));
}
