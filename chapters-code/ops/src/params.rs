//! Parameters as named lists of numbers: counting them, and safetensors files.

use std::collections::BTreeMap;

use dfdx::prelude::*;
use safetensors::tensor::{Dtype as StDtype, SafeTensors, TensorView};

use crate::layers::{Parameters, Visitor};
use crate::UNetDevice;

/// Numbers with a shape, in the memory of the host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// Tensors by name, in the order of their names.
pub type NamedTensors = BTreeMap<String, HostTensor>;

/// What is wrong with a set of named tensors.
#[derive(Debug, thiserror::Error)]
pub enum ParamsError {
    #[error("it is not a safetensors file ({0})")]
    NotSafetensors(String),
    #[error("tensor '{name}' has elements of type {found}, but only F32 is read here")]
    WrongType { name: String, found: String },
    #[error("tensor '{0}' is missing")]
    Missing(String),
    #[error("tensor '{0}' does not belong to this model")]
    Unexpected(String),
    #[error("tensor '{name}' has shape {found:?}, but this model needs {expected:?}")]
    WrongShape { name: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("tensor '{name}' holds a value that is not finite ({value})")]
    NotFinite { name: String, value: f32 },
}

/// How many numbers the model holds.
pub fn count<D: UNetDevice>(model: &mut impl Parameters<D>) -> usize {
    struct Count(usize);
    impl<D: UNetDevice> Visitor<D> for Count {
        fn visit<S: Shape>(&mut self, _: &str, parameter: &mut Tensor<S, f32, D>) {
            self.0 += parameter.shape().num_elements();
        }
    }
    let mut count = Count(0);
    model.visit("", &mut count);
    count.0
}

/// Copies every parameter to the host.
pub fn to_host<D: UNetDevice>(model: &mut impl Parameters<D>) -> NamedTensors {
    struct Collect(NamedTensors);
    impl<D: UNetDevice> Visitor<D> for Collect {
        fn visit<S: Shape>(&mut self, name: &str, parameter: &mut Tensor<S, f32, D>) {
            let mut values = vec![0.0; parameter.shape().num_elements()];
            parameter.copy_into(&mut values);
            self.0.insert(name.to_string(), HostTensor { shape: parameter.shape().concrete().into(), values });
        }
    }
    let mut collect = Collect(NamedTensors::new());
    model.visit("", &mut collect);
    collect.0
}

/// Sets every parameter from `tensors`.
///
/// # Errors
/// If a tensor is missing, has another shape, holds NaN or infinity, or is none of the model's. Nothing is changed then.
pub fn from_host<D: UNetDevice>(model: &mut impl Parameters<D>, tensors: &NamedTensors) -> Result<(), ParamsError> {
    struct Check<'a>(&'a NamedTensors, Vec<String>, Option<ParamsError>);
    impl<D: UNetDevice> Visitor<D> for Check<'_> {
        fn visit<S: Shape>(&mut self, name: &str, parameter: &mut Tensor<S, f32, D>) {
            self.1.push(name.to_string());
            let expected: Vec<usize> = parameter.shape().concrete().into();
            let error = match self.0.get(name) {
                None => Some(ParamsError::Missing(name.to_string())),
                Some(t) if t.shape != expected => {
                    Some(ParamsError::WrongShape { name: name.to_string(), found: t.shape.clone(), expected })
                }
                Some(t) => t
                    .values
                    .iter()
                    .find(|v| !v.is_finite())
                    .map(|&value| ParamsError::NotFinite { name: name.to_string(), value }),
            };
            self.2 = self.2.take().or(error);
        }
    }
    let mut check = Check(tensors, Vec::new(), None);
    model.visit("", &mut check);
    if let Some(error) = check.2 {
        return Err(error);
    }
    if let Some(extra) = tensors.keys().find(|name| !check.1.contains(name)) {
        return Err(ParamsError::Unexpected(extra.clone()));
    }
    struct Set<'a>(&'a NamedTensors);
    impl<D: UNetDevice> Visitor<D> for Set<'_> {
        fn visit<S: Shape>(&mut self, name: &str, parameter: &mut Tensor<S, f32, D>) {
            parameter.copy_from(&self.0[name].values);
        }
    }
    model.visit("", &mut Set(tensors));
    Ok(())
}

/// The bytes of a safetensors file with these tensors and this metadata. The same input gives the same bytes.
pub fn to_safetensors(tensors: &NamedTensors, metadata: &[(&str, String)]) -> Vec<u8> {
    let bytes: Vec<(String, &HostTensor, Vec<u8>)> = tensors
        .iter()
        .map(|(name, t)| (name.clone(), t, t.values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, t, bytes)| {
        let view = TensorView::new(StDtype::F32, t.shape.clone(), bytes).expect("values fill the shape");
        (name.as_str(), view)
    });
    let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
    safetensors::serialize(views, Some(metadata)).expect("names and shapes are valid")
}

/// Reads the tensors and the metadata of a safetensors file. `pad` etc. of other types are refused.
///
/// # Errors
/// If the bytes are no safetensors file, or a tensor is not of f32.
pub fn from_safetensors(bytes: &[u8]) -> Result<(NamedTensors, BTreeMap<String, String>), ParamsError> {
    let broken = |e: safetensors::SafeTensorError| ParamsError::NotSafetensors(e.to_string());
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    let mut tensors = NamedTensors::new();
    for (name, view) in file.tensors() {
        if view.dtype() != StDtype::F32 {
            return Err(ParamsError::WrongType { name, found: format!("{:?}", view.dtype()) });
        }
        let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        tensors.insert(name, HostTensor { shape: view.shape().to_vec(), values });
    }
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok((tensors, metadata))
}
