use std::fmt::Display;

use dfdx::prelude::*;

use crate::shapes::{RowCopy, Store};
use crate::{AdamW, Buffer, Images, MaybeSync, Rows, UNetDevice, Vector};

// ANCHOR: parameters
/// Something that has parameters.
pub trait Parameters<D: UNetDevice>: MaybeSync {
    /// Appends every parameter to `all`, always in the same order, with its name after
    /// `prefix`.
    fn list<'a>(&'a mut self, prefix: &str, all: &mut Vec<Parameter<'a, D>>);

    /// Every parameter with its full name (`"conv_in.weight"`).
    fn parameters(&mut self) -> Vec<Parameter<'_, D>> {
        let mut all = Vec::new();
        self.list("", &mut all);
        all
    }
}

/// One parameter of a network, to read or to change.
pub struct Parameter<'a, D: UNetDevice> {
    pub name: String,
    tensor: TensorMut<'a, D>,
}

/// The shapes that parameters have.
enum TensorMut<'a, D: UNetDevice> {
    Vector(&'a mut Vector<D>),
    Rows(&'a mut Rows<D>),
    Images(&'a mut Images<D>),
}
// ANCHOR_END: parameters

/// Implements [`Parameters`](crate::layers::Parameters) for a struct whose fields are layers,
/// tensors, or options or lists of them. The fields are listed in the order in which the macro call
/// names them. The name of a field, or the text after `as`, is put before the names of its
/// parameters:
///
/// ```
/// # use ops::layers::{Conv2d, GroupNorm, Linear};
/// # use ops::UNetDevice;
/// struct Block<D: UNetDevice> {
///     norm: GroupNorm<D>,
///     convs: Vec<Conv2d<D>>,
///     out: Option<Linear<D>>,
/// }
/// // norm.weight, norm.bias, convs.0.weight, … and to_out.0.weight, if there is one
/// ops::parameters!(Block { norm, convs, out as "to_out.0" });
/// ```
#[macro_export]
macro_rules! parameters {
    ($layer:ident { $($field:ident $(as $name:literal)?),+ $(,)? }) => {
        impl<D: $crate::UNetDevice> $crate::layers::Parameters<D> for $layer<D> {
            fn list<'a>(
                &'a mut self,
                prefix: &str,
                all: &mut Vec<$crate::layers::Parameter<'a, D>>,
            ) {
                $(
                    let name = $crate::parameters!(@name $field $($name)?);
                    let name = $crate::layers::join(prefix, name);
                    $crate::layers::Parameters::list(&mut self.$field, &name, all);
                )+
            }
        }
    };
    (@name $field:ident $name:literal) => { $name };
    (@name $field:ident) => { stringify!($field) };
}

/// `prefix.name`, or `name` if the prefix is empty.
pub fn join(prefix: &str, name: impl Display) -> String {
    if prefix.is_empty() {
        name.to_string()
    } else {
        format!("{prefix}.{name}")
    }
}

/// A tensor is a single parameter, whose name is the prefix.
macro_rules! tensors {
    ($($shape:ident),+) => {$(
        impl<D: UNetDevice> Parameters<D> for $shape<D> {
            fn list<'a>(&'a mut self, prefix: &str, all: &mut Vec<Parameter<'a, D>>) {
                all.push(Parameter { name: prefix.into(), tensor: TensorMut::$shape(self) });
            }
        }
    )+};
}
tensors!(Vector, Rows, Images);

impl<D: UNetDevice, P: Parameters<D>> Parameters<D> for Option<P> {
    fn list<'a>(&'a mut self, prefix: &str, all: &mut Vec<Parameter<'a, D>>) {
        self.iter_mut().for_each(|part| part.list(prefix, all));
    }
}

impl<D: UNetDevice, P: Parameters<D>> Parameters<D> for Vec<P> {
    fn list<'a>(&'a mut self, prefix: &str, all: &mut Vec<Parameter<'a, D>>) {
        for (i, part) in self.iter_mut().enumerate() {
            part.list(&join(prefix, i), all);
        }
    }
}

/// Evaluates the same expression, whatever the shape of the tensor.
macro_rules! with_tensor {
    ($parameter:expr, $tensor:ident => $value:expr) => {
        match $parameter {
            TensorMut::Vector($tensor) => $value,
            TensorMut::Rows($tensor) => $value,
            TensorMut::Images($tensor) => $value,
        }
    };
}

impl<D: UNetDevice> Parameter<'_, D> {
    /// Its dimensions: one for a vector, two for rows, four for images.
    pub fn shape(&self) -> Vec<usize> {
        with_tensor!(&self.tensor, tensor => tensor.shape().concrete().into())
    }

    /// How many numbers it holds.
    pub fn num_elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// The device that it is on.
    pub fn device(&self) -> &D {
        with_tensor!(&self.tensor, tensor => tensor.device())
    }

    /// A copy of its numbers, on the host.
    pub fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.num_elements()];
        with_tensor!(&self.tensor, tensor => tensor.copy_into(&mut values));
        values
    }

    /// Sets its numbers.
    ///
    /// # Panics
    /// If there are too many or too few.
    pub fn copy_from(&mut self, values: &[f32]) {
        with_tensor!(&mut self.tensor, tensor => tensor.copy_from(values));
    }

    /// The numbers of its gradient, on the host.
    ///
    /// # Panics
    /// If `gradients` has none for it.
    pub fn gradient(&self, gradients: &Gradients<f32, D>) -> Vec<f32> {
        with_tensor!(&self.tensor, tensor => gradients.get(&**tensor).as_vec())
    }

    /// Takes its gradient out of `gradients`; zeros if there is none.
    pub(crate) fn take_gradient(
        &self,
        gradients: &mut Gradients<f32, D>,
    ) -> Result<Buffer<D>, D::Err> {
        let token = dfdx::tensor::Storage::<f32>::try_alloc_len(self.device(), 1)?;
        let gradient = with_tensor!(&self.tensor, tensor => gradients.get_or_alloc_mut(&**tensor)?);
        Ok(std::mem::replace(gradient, token))
    }

    /// Replaces the tensor with a copy of it on another device.
    pub(crate) fn move_to(&mut self, device: &D) {
        with_tensor!(&mut self.tensor, tensor => **tensor = copy_on(device, tensor));
    }

    /// One AdamW update of the parameter, in place, with its gradient and its two moments, which
    /// have the same number of elements.
    pub fn adamw_step(
        &mut self,
        numbers: &AdamW,
        gradient: &Buffer<D>,
        m: &mut Vector<D>,
        v: &mut Vector<D>,
    ) {
        with_tensor!(&mut self.tensor, p => crate::adamw_step(numbers, p, gradient, m, v));
    }

    /// `average = keep · average + (1 - keep) · parameter`, in place.
    pub fn blend_into(&self, keep: f32, average: &mut Vector<D>) {
        with_tensor!(&self.tensor, p => crate::blend(keep, average, p));
    }
}

/// A copy of `tensor` on another device.
fn copy_on<S: Shape, D: UNetDevice>(device: &D, tensor: &Tensor<S, f32, D>) -> Tensor<S, f32, D> {
    let all = RowCopy::one(tensor.shape().num_elements(), 0, 0);
    device.output(*tensor.shape(), |copy| {
        device.copy_rows(&all, D::read(tensor), copy, Store::Overwrite)
    })
}
