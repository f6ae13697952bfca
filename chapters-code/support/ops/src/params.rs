//! Parameters as named lists of numbers: counting them, and storing them in safetensors files.

mod outline;
mod tensors;

use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::tensor::{Dtype as StDtype, SafeTensors, TensorView};

pub use self::outline::Outline;
pub use self::tensors::{check_finite, HostTensor, NamedTensors, ParamsError};
use crate::layers::{join, Parameter, Parameters};
use crate::UNetDevice;

/// How many numbers the model holds.
pub fn count<D: UNetDevice>(model: &mut impl Parameters<D>) -> usize {
    Outline::for_model(model).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
}

/// Copies every parameter to the host.
pub fn to_host<D: UNetDevice>(model: &mut impl Parameters<D>) -> NamedTensors {
    let copy = |parameter: Parameter<'_, D>| {
        let tensor = HostTensor { shape: parameter.shape(), values: parameter.values() };
        (parameter.name, tensor)
    };
    model.parameters().into_iter().map(copy).collect()
}

/// Sets every parameter from `tensors`.
///
/// # Errors
/// If a tensor is missing, has the wrong shape, holds NaN or infinity, or does not belong to the
/// model. In that case nothing is changed.
pub fn from_host<D: UNetDevice>(
    model: &mut impl Parameters<D>,
    tensors: &NamedTensors,
) -> Result<(), ParamsError> {
    Outline::for_model(model).check(tensors)?;
    check_finite(tensors)?;
    set(model, "", tensors);
    Ok(())
}

/// Sets every parameter from the tensor whose name is the parameter's, with `prefix` in front.
///
/// # Panics
/// If there is no such tensor, or it has the wrong size.
pub fn set<D: UNetDevice>(model: &mut impl Parameters<D>, prefix: &str, tensors: &NamedTensors) {
    for mut parameter in model.parameters() {
        parameter.copy_from(&tensors[&join(prefix, &parameter.name)].values);
    }
}

/// The bytes of a safetensors file with these tensors and this metadata. The same input gives the
/// same bytes.
pub fn to_safetensors(tensors: &NamedTensors, metadata: &[(&str, String)]) -> Vec<u8> {
    let bytes: Vec<(String, &HostTensor, Vec<u8>)> = tensors
        .iter()
        .map(|(name, t)| (name.clone(), t, t.values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, t, bytes)| {
        let view =
            TensorView::new(StDtype::F32, t.shape.clone(), bytes).expect("values fill the shape");
        (name.as_str(), view)
    });
    let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
    safetensors::serialize(views, Some(metadata)).expect("names and shapes are valid")
}

/// Reads the tensors and the metadata of a safetensors file. 16-bit numbers (F16, BF16) become f32,
/// which holds each of them exactly.
///
/// # Errors
/// If the bytes are not a safetensors file, or a tensor has numbers of another type.
pub fn from_safetensors(
    bytes: &[u8],
) -> Result<(NamedTensors, BTreeMap<String, String>), ParamsError> {
    let broken = |e: safetensors::SafeTensorError| ParamsError::NotSafetensors(e.to_string());
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    let mut tensors = NamedTensors::new();
    for (name, view) in file.tensors() {
        let Some(values) = floats(view.dtype(), view.data()) else {
            return Err(ParamsError::WrongType { name, found: format!("{:?}", view.dtype()) });
        };
        tensors.insert(name, HostTensor { shape: view.shape().to_vec(), values });
    }
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok((tensors, metadata))
}

/// The values of little-endian numbers, or `None` for a type that is not read.
fn floats(kind: StDtype, data: &[u8]) -> Option<Vec<f32>> {
    fn each<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        data.as_chunks().0.iter().map(|bytes| number(*bytes)).collect()
    }
    match kind {
        StDtype::F32 => Some(each(data, f32::from_le_bytes)),
        StDtype::F16 => Some(each(data, |bytes| f16::from_le_bytes(bytes).to_f32())),
        StDtype::BF16 => Some(each(data, |bytes| bf16::from_le_bytes(bytes).to_f32())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Conv2d, GroupNorm, Linear};
    use crate::{AutoDevice, Conv2dOptions};

    struct Network<D: UNetDevice> {
        conv: Conv2d<D>,
        linear: Linear<D>,
        norm: GroupNorm<D>,
    }
    crate::parameters!(Network { conv, linear, norm });

    fn network() -> Network<AutoDevice> {
        let device = crate::open_device(0).unwrap();
        let rng = &mut <rand_chacha::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(1);
        Network {
            conv: Conv2d::new(&device, rng, 3, 8, 3, Conv2dOptions::padded(1)),
            linear: Linear::new(&device, rng, 8, 5),
            norm: GroupNorm::new(&device, 2, 8, 1e-5),
        }
    }

    #[test]
    fn an_outline_is_that_of_the_network() {
        let mut outline = Outline::default();
        outline.conv("conv", 3, 8, 3);
        outline.linear("linear", 8, 5);
        outline.norm("norm", 8);
        let mut network = network();
        assert_eq!(outline, Outline::for_model(&mut network));
        assert_eq!(outline.count(), count(&mut network) as u128);
        assert_eq!(outline.count(), 3 * 8 * 9 + 8 + 8 * 5 + 5 + 16);
    }

    #[test]
    fn tensors_that_do_not_fit_are_named() {
        let mut network = network();
        let good = to_host(&mut network);
        let mut bad = |change: &dyn Fn(&mut NamedTensors)| {
            let mut tensors = good.clone();
            change(&mut tensors);
            from_host(&mut network, &tensors).unwrap_err().to_string()
        };
        assert_eq!(bad(&|t| drop(t.remove("conv.bias"))), "tensor 'conv.bias' is missing");
        let extra = bad(&|t| {
            drop(t.insert("more".into(), HostTensor { shape: vec![], values: vec![1.0] }))
        });
        assert_eq!(extra, "tensor 'more' does not belong to this model");
        let shape = bad(&|t| t.get_mut("norm.bias").unwrap().shape = vec![1 << 62, 2]);
        assert!(shape.contains("'norm.bias'") && shape.contains("needs [8]"), "{shape}");
        let value = bad(&|t| t.get_mut("linear.bias").unwrap().values[2] = f32::NAN);
        assert!(value.contains("'linear.bias'") && value.contains("not finite"), "{value}");
        from_host(&mut network, &good).unwrap();
    }

    /// A file with one tensor, of any type and shape.
    fn file(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let len = data.len();
        let header = format!(
            "{{\"t\":{{\"dtype\":\"{kind}\",\"shape\":{shape},\"data_offsets\":[0,{len}]}}}}"
        );
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn numbers_of_16_bits_are_read_exactly() {
        let read = |kind: &str| {
            let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
            from_safetensors(&file(kind, "[256, 256]", &all)).unwrap().0["t"].values.clone()
        };
        let (halves, brains) = (read("F16"), read("BF16"));
        for bits in 0..=u16::MAX {
            let (sign, exponent, fraction) =
                (bits >> 15, ((bits >> 10) & 31) as i32, (bits & 1023) as f64);
            let size = match exponent {
                0 => fraction * 2f64.powi(-24),
                31 if fraction == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
            };
            let expected = (if sign == 1 { -size } else { size }) as f32;
            let found = halves[bits as usize];
            assert!(
                found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()),
                "{bits:#x}"
            );
            let (found, expected) = (brains[bits as usize], f32::from_bits((bits as u32) << 16));
            assert!(
                found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()),
                "{bits:#x}"
            );
        }
    }

    #[test]
    fn headers_that_lie_are_rejected() {
        assert!(from_safetensors(&file("F32", "[1]", &[0; 4])).is_ok());
        for (kind, shape, len) in [
            ("F32", "[2]", 4),
            ("F32", "[9223372036854775807, 4]", 16),
            ("F32", "[1000000000000]", 4),
            ("F32", "[-1]", 4),
            ("F16", "[2]", 8),
        ] {
            let error = from_safetensors(&file(kind, shape, &vec![0; len])).unwrap_err();
            assert!(matches!(error, ParamsError::NotSafetensors(_)), "{kind} {shape}: {error}");
        }
        let error = from_safetensors(&file("F64", "[1]", &[0; 8])).unwrap_err().to_string();
        assert_eq!(
            error,
            "tensor 't' has elements of type F64, but only F32, F16 and BF16 are read here"
        );
        let mut long = file("F32", "[1]", &[0; 4]);
        long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(from_safetensors(&long).unwrap_err(), ParamsError::NotSafetensors(_)));
    }
}
