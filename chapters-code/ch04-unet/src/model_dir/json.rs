use std::path::Path;

use files::Files;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ModelError;
use crate::{ConfigError, UNetConfig};

/// Reads a JSON file.
///
/// # Errors
/// If it is missing or does not have the expected fields; the message names the field.
pub fn read_json<T: DeserializeOwned>(
    files: &dyn Files,
    path: &Path,
) -> Result<T, ModelError> {
    let bytes = files.read(path)?;
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    let value = parse(path, &mut json)?;
    json.end().map_err(|source| ModelError::Syntax { path: path.into(), source })?;
    Ok(value)
}

fn parse<'a, T: Deserialize<'a>>(
    path: &Path,
    json: impl serde::Deserializer<'a, Error = serde_json::Error>,
) -> Result<T, ModelError> {
    let value = serde_path_to_error::deserialize(json);
    value.map_err(|source| ModelError::Json { path: path.into(), source })
}

/// Writes a JSON file as diffusers formats it.
///
/// # Errors
/// If the file cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ModelError> {
    let text = serde_json::to_string_pretty(value);
    let mut text =
        text.map_err(|source| ModelError::Syntax { path: path.into(), source })?;
    text.push('\n');
    Ok(files::write(path, text.as_bytes())?)
}

/// The configuration of a class in diffusers.
pub trait DiffusersConfig: Default + Serialize + DeserializeOwned {
    /// The class.
    const CLASS: &'static str;
    /// Advice, beginning with a semicolon, on what to do with other classes; empty if nothing can
    /// be done.
    const OTHERWISE: &'static str;
    /// Fields that diffusers may write and that change nothing about this class.
    const WITHOUT_EFFECT: &'static [&'static str];
}

impl DiffusersConfig for UNetConfig {
    const CLASS: &'static str = UNetConfig::CLASS_NAME;
    const OTHERWISE: &'static str = "";
    const WITHOUT_EFFECT: &'static [&'static str] = &[];
}

/// Reads a configuration written by any version of diffusers. Unknown fields that change no result
/// are left out, with a note.
///
/// # Errors
/// If the file is missing or damaged, is of another class, or has an unknown field that could
/// change a result.
pub(super) fn read_config<T: DiffusersConfig>(
    files: &dyn Files,
    path: &Path,
    notes: &mut Vec<String>,
) -> Result<T, ModelError> {
    let mut fields: Map<String, Value> = read_json(files, path)?;
    if let Some(class) = fields.get("_class_name").filter(|class| *class != T::CLASS) {
        let need = format!("only \"{}\" is supported{}", T::CLASS, T::OTHERWISE);
        let source = ConfigError::new("_class_name", class, need);
        return Err(ModelError::Config { path: path.into(), source });
    }
    let ignored = take_unknown::<T>(&mut fields);
    let harmful = ignored.iter().find(|(field, value)| !is_harmless::<T>(field, value));
    if let Some((field, value)) = harmful {
        let (path, field, value) = (path.into(), field.clone(), value.to_string());
        return Err(ModelError::UnknownField { path, field, value });
    }
    if !ignored.is_empty() {
        let names: Vec<&str> = ignored.keys().map(String::as_str).collect();
        let names = names.join(", ");
        notes.push(format!(
            "{}: ignored fields without effect here: {names}",
            path.display()
        ));
    }
    parse(path, Value::Object(fields))
}

/// Removes and returns the fields that `T` does not have.
fn take_unknown<T: DiffusersConfig>(
    fields: &mut Map<String, Value>,
) -> Map<String, Value> {
    let known =
        serde_json::to_value(T::default()).expect("a configuration can be written");
    let all = std::mem::take(fields).into_iter();
    let (known, unknown) = all.partition(|(field, _)| known.get(field).is_some());
    *fields = known;
    unknown
}

fn is_harmless<T: DiffusersConfig>(field: &str, value: &Value) -> bool {
    let is_off = matches!(value, Value::Null | Value::Bool(false));
    is_off || field.starts_with('_') || T::WITHOUT_EFFECT.contains(&field)
}
