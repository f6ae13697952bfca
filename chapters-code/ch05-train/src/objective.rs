use ch03_forward::Diffusion;
use dfdx::prelude::*;
use ops::{Images, UNetDevice};

// ANCHOR: l_simple
/// L_simple (DDPM eq. 14): the mean squared error between the output of `network` for
/// x_t and what it should predict. With an `OwnedTape` as `T` the result remembers how
/// it came about, and can be differentiated.
///
/// `x0` and `eps` are `(batch, channels, h, w)`; there is one timestep per image.
pub fn l_simple<D: UNetDevice, T: Tape<f32, D> + Merge<T>>(
    diffusion: &Diffusion,
    x0: &Images<D>,
    timesteps: &[usize],
    eps: &Images<D>,
    network: impl FnOnce(Images<D, T>, &[usize]) -> Images<D, T>,
) -> Tensor<Rank0, f32, D, T> {
    let x_t = diffusion.q_sample(x0, timesteps, eps);
    let output = network(x_t.put_tape(T::default()), timesteps);
    let target = diffusion.target(x0, timesteps, eps);
    (output - target).square().mean()
}
// ANCHOR_END: l_simple
