//! Used by the libraries and programs of all chapters. Adds what dfdx lacks on stable Rust, in the
//! form of differentiable functions over dfdx tensors.
//!
//! | function | what it is |
//! |---|---|
//! | [`conv2d`] | 2-D convolution with stride, padding and bias |
//! | [`conv2d_plus_channels`], [`conv2d_plus_images`] | the same, plus channels or images |
//! | [`pointwise`], [`pointwise_plus_images`] | a linear map over channels (a 1×1 convolution) |
//! | [`linear`] | a linear map over rows |
//! | [`group_norm`] | group normalisation, alone or followed by SiLU in the same pass |
//! | [`group_norm_for_conv`] | group normalisation and SiLU, done by the convolution |
//! | [`silu`] | x · sigmoid(x) |
//! | [`upsample_nearest`] | nearest-neighbour resizing to any larger size |
//! | [`attention`] | scaled dot-product attention between the pixels of an image |
//! | [`concat_channels`] | the channels of a skip connection after those of the level below |
//!
//! Every function takes an input that may carry a gradient tape, and parameters that need none: the
//! backward pass finds a parameter's gradient by the parameter's own id. Read it with
//! `gradients.get(&parameter)` after `loss.backward()`.
//!
//! The backward pass of a function consumes the gradient of its output, so that this gradient's
//! memory is free for the next one. After `backward`, only leaves (inputs and parameters) hold
//! their gradients.
//!
//! [`layers`] combines the functions with their parameters and lists the parameters by name, so
//! that an optimiser, a moving average or a file can reach each of them.
//!
//! [`Replicas`] work on parts of a batch side by side.
//!
//! Generic code asks for a [`UNetDevice`]. That bound combines three traits, which are implemented
//! for each device: [`Memory`], [`Parallel`] and [`Kernels`]. On [`dfdx::prelude::Cpu`] the kernels
//! are our own: they divide the batch among threads, and use vector instructions that are chosen
//! while the program runs. The threads are rayon's. A caller that is not one of these threads has
//! to be woken after every kernel, which takes as long as a small kernel does.
//! `ThreadPoolBuilder::use_current_thread` makes the caller one of them, and [`Replicas`] hand all
//! of their work over in one go.

mod conv_input;
mod conv_weight;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod functions;
mod gradient;
mod kernels;
pub mod layers;
mod memory;
mod norm;
mod open;
mod parallel;
pub mod params;
mod replicas;
mod shapes;
mod tape;

pub use conv_input::{group_norm_for_conv, ConvInput};
pub use conv_weight::ConvWeight;
pub use cpu::simd::{force_simd, SimdLevel};
pub use device::UNetDevice;
pub use functions::*;
pub use gradient::{gradient_of, sum_of_gradients, sums_of_squares, Gradient};
pub use kernels::Kernels;
pub use memory::{Buffer, Images, Memory, Rows, Vector};
pub use norm::group_norm;
pub use open::{open_device, AutoDevice, OpenError, CUDA};
pub use parallel::{MaybeSend, MaybeSync, Parallel};
pub use replicas::{part, Replicas};
pub use shapes::{
    AdamW, Added, AttentionShape, ConvShape, LinearShape, NormShape, RowCopy, RowLayout, Store,
    UpsampleShape,
};
