//! The gradient of a whole network.

use dfdx::prelude::Gradients;
use dfdx::tensor::Storage;

use crate::layers::Parameters;
use crate::{Buffer, UNetDevice, Vector};

/// For each parameter of a network, a buffer of the same length, in the order in which the
/// network lists its parameters.
pub type Gradient<D> = Vec<Buffer<D>>;

/// The gradient of each parameter of a network, taken out of `gradients`: zeros where there is
/// none.
///
/// # Errors
/// If the device is out of memory.
pub fn gradient_of<D: UNetDevice>(
    network: &mut impl Parameters<D>,
    mut gradients: Gradients<f32, D>,
) -> Result<Gradient<D>, D::Err> {
    network.parameters().iter().map(|parameter| parameter.take_gradient(&mut gradients)).collect()
}

/// Adds up gradients of one network, in the order given.
///
/// # Panics
/// If there are none, or they belong to different networks.
pub fn sum_of_gradients<D: UNetDevice>(device: &D, parts: Vec<Gradient<D>>) -> Gradient<D> {
    let mut parts = parts.into_iter();
    let mut total = parts.next().expect("a sum has terms");
    for part in parts {
        assert_eq!(total.len(), part.len(), "the gradients of one network");
        for (total, part) in total.iter_mut().zip(&part) {
            let [a, b] = [&*total, part].map(|part| Storage::<f32>::len(device, part));
            assert_eq!(a, b, "the gradients of one network");
            device.accumulate(D::read_buffer(part), D::write_buffer(total));
        }
    }
    total
}

/// Writes the sum of squares of each buffer of a gradient to `sums`: on the device, so that nothing
/// waits for it.
pub fn sums_of_squares<D: UNetDevice>(device: &D, gradient: &Gradient<D>, sums: &mut Vector<D>) {
    for (index, part) in gradient.iter().enumerate() {
        device.sum_of_squares(D::read_buffer(part), D::write(sums), index);
    }
}
