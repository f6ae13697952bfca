use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use files::Files;
use ops::params::{self, NamedTensors, ParamsError};
use serde::Deserialize;

use super::{read_json, ModelError};

/// The file of weights that this crate writes.
pub(super) const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";
/// Words that diffusers puts into the names of files in other precisions.
const VARIANTS: [&str; 3] = ["fp16", "bf16", "fp32"];

/// The names of files that hold a network's weights or list its shards, in the order in
/// which they are looked for.
fn names() -> impl Iterator<Item = String> {
    let plain = [
        "diffusion_pytorch_model.safetensors.index.json".to_string(),
        WEIGHTS.to_string(),
    ];
    plain.into_iter().chain(VARIANTS.iter().flat_map(|variant| {
        [
            format!("diffusion_pytorch_model.safetensors.index.{variant}.json"),
            format!("diffusion_pytorch_model.{variant}.safetensors"),
        ]
    }))
}

/// Reads tensors from a safetensors file.
///
/// # Errors
/// If the file is missing or damaged.
pub fn read_tensors(
    files: &dyn Files,
    path: &Path,
) -> Result<NamedTensors, ModelError> {
    let bytes = files.read(path)?;
    let tensors = params::from_safetensors(&bytes);
    Ok(tensors.map_err(|source| ModelError::Params { path: path.into(), source })?.0)
}

/// Reads the weights from the folder of a network, and gives every tensor its present name. Also
/// returns the file that they came from.
///
/// # Errors
/// If there are none, or a file is damaged.
pub(super) fn read_weights(
    files: &dyn Files,
    folder: &Path,
) -> Result<(PathBuf, NamedTensors), ModelError> {
    let found = names().map(|name| folder.join(name)).find(|path| files.exists(path));
    let path = match found {
        Some(path) => path,
        None => {
            return Err(
                pickled(files, folder).unwrap_or(ModelError::NoWeights(folder.into()))
            )
        }
    };
    let tensors = if path.extension().is_some_and(|kind| kind == "json") {
        read_shards(files, &path)?
    } else {
        read_tensors(files, &path)?
    };
    match renamed(tensors) {
        Ok(tensors) => Ok((path, tensors)),
        Err(source) => Err(ModelError::Params { path, source }),
    }
}

/// The error for a folder whose only weights are in Python's own format.
fn pickled(files: &dyn Files, folder: &Path) -> Option<ModelError> {
    let variants =
        VARIANTS.iter().map(|variant| format!("diffusion_pytorch_model.{variant}.bin"));
    let plain =
        ["bin", "bin.index.json"].map(|kind| format!("diffusion_pytorch_model.{kind}"));
    let mut paths = plain.into_iter().chain(variants).map(|name| folder.join(name));
    paths.find(|path| files.exists(path)).map(ModelError::Pickled)
}

/// A file that says which tensor is in which file.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn read_shards(files: &dyn Files, index: &Path) -> Result<NamedTensors, ModelError> {
    let Index { weight_map } = read_json(files, index)?;
    let mut tensors = NamedTensors::new();
    for shard in weight_map.into_values().collect::<BTreeSet<String>>() {
        if !is_file_name(&shard) {
            return Err(ModelError::Shard { path: index.into(), shard });
        }
        let path = index.with_file_name(shard);
        let inserted = insert_all(&mut tensors, read_tensors(files, &path)?);
        inserted.map_err(|source| ModelError::Params { path, source })?;
    }
    Ok(tensors)
}

/// Whether a name is a plain file name, with no folder.
fn is_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
}

/// Adds tensors; it is an error if one of their names is already taken.
fn insert_all(
    tensors: &mut NamedTensors,
    more: impl IntoIterator<Item = (String, params::HostTensor)>,
) -> Result<(), ParamsError> {
    for (name, tensor) in more {
        if tensors.contains_key(&name) {
            return Err(ParamsError::Repeated(name));
        }
        tensors.insert(name, tensor);
    }
    Ok(())
}

/// What diffusers calls the maps of an attention block: in older versions, and now.
const RENAMED: [(&str, &str); 4] =
    [("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")];

/// Gives every tensor its present name. A map that was stored as a 1×1 convolution
/// becomes a matrix.
fn renamed(tensors: NamedTensors) -> Result<NamedTensors, ParamsError> {
    let mut named = NamedTensors::new();
    insert_all(
        &mut named,
        tensors.into_iter().map(|(name, mut tensor)| match present_name(&name) {
            Some(name) => {
                if let [_, _, 1, 1] = tensor.shape[..] {
                    tensor.shape.truncate(2);
                }
                (name, tensor)
            }
            None => (name, tensor),
        }),
    )?;
    Ok(named)
}

/// The present name of a tensor with an old name: `….attentions.0.query.weight` is
/// now `….attentions.0.to_q.weight`.
fn present_name(name: &str) -> Option<String> {
    let mut parts = name.rsplitn(4, '.');
    let (kind, map, number, block) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (_, now) = RENAMED.iter().find(|(old, _)| *old == map)?;
    block.ends_with(".attentions").then(|| format!("{block}.{number}.{now}.{kind}"))
}
