use ch02_schedule::Schedule;
use ch03_forward::{q_sample, target, PredictionType};
use dfdx::prelude::*;
use ops::{Images, UNetDevice};

// ANCHOR: l_simple
/// L_simple (DDPM eq. 14): the mean squared error between the network's `answer` to x_t
/// and what it should have said. With an `OwnedTape` as `T` the result remembers how it
/// came about, and can be differentiated.
///
/// `x0` and `eps` are `(batch, channels, h, w)`; there is one timestep per image.
pub fn l_simple<D: UNetDevice, T: Tape<f32, D> + Merge<T>>(
    schedule: &Schedule,
    prediction_type: PredictionType,
    x0: &Images<D>,
    timesteps: &[usize],
    eps: &Images<D>,
    answer: impl FnOnce(Images<D, T>, &[usize]) -> Images<D, T>,
) -> Tensor<Rank0, f32, D, T> {
    let x_t = q_sample(schedule, x0, timesteps, eps);
    let answer = answer(x_t.put_tape(T::default()), timesteps);
    let wanted = target(prediction_type, schedule, x0, timesteps, eps);
    (answer - wanted).square().mean()
}
// ANCHOR_END: l_simple
