//! Tensors in the memory of the host, by name.

use std::collections::BTreeMap;

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
    #[error(
        "tensor '{name}' has elements of type {found}, but only F32, F16 and BF16 are read here"
    )]
    WrongType { name: String, found: String },
    #[error("tensor '{0}' is missing")]
    Missing(String),
    #[error("tensor '{0}' does not belong to this model")]
    Unexpected(String),
    #[error("tensor '{0}' is there twice, in two files or under an old and a new name")]
    Repeated(String),
    #[error("tensor '{name}' has shape {found:?}, but this model needs {expected:?}")]
    WrongShape { name: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("tensor '{name}' holds a value that is not finite ({value})")]
    NotFinite { name: String, value: f32 },
}

/// Checks that every number is finite.
///
/// # Errors
/// Names a tensor that holds NaN or infinity.
pub fn check_finite(tensors: &NamedTensors) -> Result<(), ParamsError> {
    for (name, tensor) in tensors {
        if let Some(&value) = tensor.values.iter().find(|value| !value.is_finite()) {
            return Err(ParamsError::NotFinite { name: name.clone(), value });
        }
    }
    Ok(())
}
