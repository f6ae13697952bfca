//! The gradient of a whole network.

use dfdx::prelude::*;

use crate::layers::{Parameters, Visitor};
use crate::{Buffer, UNetDevice, Vector};

/// One buffer for each parameter of a network, as long as it, in the order in which the network
/// shows them.
pub type Gradient<D> = Vec<Buffer<D>>;

/// What `gradients` says of a network's parameters: zeros where it says nothing.
///
/// # Errors
/// If the device is out of memory.
pub fn gradient_of<D: UNetDevice>(
    network: &mut impl Parameters<D>,
    gradients: Gradients<f32, D>,
) -> Result<Gradient<D>, D::Err> {
    struct Take<D: UNetDevice> {
        gradients: Gradients<f32, D>,
        taken: Result<Gradient<D>, D::Err>,
    }
    impl<D: UNetDevice> Visitor<D> for Take<D> {
        fn visit<S: Shape>(&mut self, _: &str, parameter: &mut Tensor<S, f32, D>) {
            let Ok(taken) = &mut self.taken else { return };
            let device = parameter.device();
            let gradient =
                dfdx::tensor::Storage::<f32>::try_alloc_len(device, 1).and_then(|token| {
                    Ok(std::mem::replace(self.gradients.get_or_alloc_mut(parameter)?, token))
                });
            match gradient {
                Ok(gradient) => taken.push(gradient),
                Err(error) => self.taken = Err(error),
            }
        }
    }
    let mut take = Take { gradients, taken: Ok(Vec::new()) };
    network.visit("", &mut take);
    take.taken
}

/// The sum of some gradients of one network, in their order.
///
/// # Panics
/// If there is none.
pub fn sum_of_gradients<D: UNetDevice>(device: &D, parts: Vec<Gradient<D>>) -> Gradient<D> {
    let mut parts = parts.into_iter();
    let mut total = parts.next().expect("a sum has terms");
    for part in parts {
        for (total, part) in total.iter_mut().zip(&part) {
            device.accumulate(D::read_buffer(part), D::write_buffer(total));
        }
    }
    total
}

/// Writes the sum of squares of each buffer of a gradient to `sums`: on the device, so that nobody
/// waits for it.
pub fn sums_of_squares<D: UNetDevice>(device: &D, gradient: &Gradient<D>, sums: &mut Vector<D>) {
    for (index, part) in gradient.iter().enumerate() {
        device.sum_of_squares(D::read_buffer(part), D::write_unshared(sums), index);
    }
}
