use std::collections::BTreeSet;
use std::fmt::Display;

use super::tensors::{NamedTensors, ParamsError};
use crate::layers::{join, Parameters};
use crate::UNetDevice;

/// The names and shapes of a network's tensors, in the order in which the network lists them. An
/// outline takes no memory for their values, so a file can be compared with it before the network
/// is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline(Vec<(String, Vec<usize>)>);

impl Outline {
    /// The outline of an existing network.
    pub fn for_model<D: UNetDevice>(model: &mut impl Parameters<D>) -> Self {
        Self(model.parameters().iter().map(|p| (p.name.clone(), p.shape())).collect())
    }

    fn add(&mut self, name: impl Display, kind: &str, shape: &[usize]) {
        self.0.push((format!("{name}.{kind}"), shape.to_vec()));
    }

    /// Adds the tensors of a [`crate::layers::Conv2d`].
    pub fn conv(&mut self, name: impl Display, cin: usize, cout: usize, kernel: usize) {
        self.add(&name, "weight", &[cout, cin, kernel, kernel]);
        self.add(&name, "bias", &[cout]);
    }

    /// Adds the tensors of a [`crate::layers::Linear`].
    pub fn linear(&mut self, name: impl Display, inp: usize, out: usize) {
        self.linear_without_bias(&name, inp, out);
        self.add(&name, "bias", &[out]);
    }

    /// Adds the tensor of a [`crate::layers::Linear`] without a bias.
    pub fn linear_without_bias(&mut self, name: impl Display, inp: usize, out: usize) {
        self.add(&name, "weight", &[out, inp]);
    }

    /// Adds the tensors of a [`crate::layers::GroupNorm`].
    pub fn norm(&mut self, name: impl Display, channels: usize) {
        self.add(&name, "weight", &[channels]);
        self.add(&name, "bias", &[channels]);
    }

    /// Adds the tensors of another outline, with `prefix` before their names.
    pub fn append(&mut self, prefix: &str, other: Self) {
        self.0.extend(other.0.into_iter().map(|(name, shape)| (join(prefix, name), shape)));
    }

    /// The same tensors as plain lists of numbers.
    pub fn flat(&self) -> Self {
        let flat =
            |(name, shape): (&str, &[usize])| (name.to_string(), vec![shape.iter().product()]);
        Self(self.iter().map(flat).collect())
    }

    /// Name and shape of each tensor.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.0.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()))
    }

    /// How many numbers all the tensors hold together.
    pub fn count(&self) -> u128 {
        self.iter().map(|(_, shape)| shape.iter().map(|&n| n as u128).product::<u128>()).sum()
    }

    /// Compares `tensors` with the outline.
    ///
    /// # Errors
    /// Names a tensor that is missing, has the wrong shape, or does not belong to the network.
    pub fn check(&self, tensors: &NamedTensors) -> Result<(), ParamsError> {
        let mut names = BTreeSet::new();
        for (name, expected) in self.iter() {
            names.insert(name);
            let found = &tensors.get(name).ok_or_else(|| ParamsError::Missing(name.into()))?.shape;
            if found != expected {
                let (found, expected) = (found.clone(), expected.to_vec());
                return Err(ParamsError::WrongShape { name: name.into(), found, expected });
            }
        }
        match tensors.keys().find(|name| !names.contains(name.as_str())) {
            Some(extra) => Err(ParamsError::Unexpected(extra.clone())),
            None => Ok(()),
        }
    }
}
