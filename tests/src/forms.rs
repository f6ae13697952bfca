//! The interactive figures on the pages, and the settings that their controls offer.

use std::path::Path;

use serde_json::{Map, Value};

use crate::book::folder;

/// A control: its name, its value, and other values that it can take.
#[derive(Clone, Debug)]
pub struct Control {
    pub name: String,
    pub value: Value,
    pub others: Vec<Value>,
}

/// An interactive figure.
#[derive(Clone, Debug)]
pub struct Form {
    pub figure: String,
    /// Name of the picture that is there before anything is drawn.
    pub picture: String,
    pub model: Option<String>,
    pub controls: Vec<Control>,
}

/// Holds the files of a model in memory, for the figures to read.
///
/// # Errors
/// If one cannot be read.
pub fn hold(model: Option<&str>) -> anyhow::Result<()> {
    let Some(name) = model else { return Ok(()) };
    let folder = folder().join("../chapters-code/checkpoints").join(name);
    for path in files::below(&folder)? {
        let bytes = files::read(folder.join(&path))?;
        live::hold(Path::new(name).join(path), bytes);
    }
    Ok(())
}

/// The value of an attribute of a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_once(&format!(" {name}=\""))?.1.split('"').next()
}

/// The interactive figures on a page.
///
/// # Panics
/// If one is not built as the page's script expects.
pub fn forms(page: &str) -> Vec<Form> {
    let forms = page
        .split("<form class=\"live\"")
        .skip(1)
        .map(|rest| rest.split("</form>").next().unwrap());
    forms.map(form).collect()
}

fn form(text: &str) -> Form {
    let (tag, body) = text.split_once('>').unwrap();
    let picture = body.split_once("<img src=\"figures/");
    let picture = picture.unwrap_or_else(|| panic!("<form{tag}> is empty without scripts")).1;
    assert!(attribute(tag, "data-label").is_some(), "<form{tag}> does not say what it shows");
    assert!(!text.contains("\n\n"), "a blank line ends HTML on a page: <form{tag}>");
    let inputs = body
        .split("<input ")
        .skip(1)
        .map(|rest| input(&format!(" {}", rest.split('>').next().unwrap())));
    let selects =
        body.split("<select ").skip(1).map(|rest| select(rest.split("</select>").next().unwrap()));
    let figure = attribute(tag, "data-figure").expect("a figure has a name").to_string();
    let model = attribute(tag, "data-model").map(str::to_string);
    let picture = picture.split('"').next().expect("split yields something").to_string();
    Form { figure, picture, model, controls: inputs.chain(selects).collect() }
}

fn input(tag: &str) -> Control {
    let get = |name| attribute(tag, name).map(str::to_string);
    let value = |text: String| match get("type").as_deref() {
        Some("number" | "range") => serde_json::from_str(&text).unwrap(),
        _ => Value::String(text),
    };
    let name = get("name").expect("an input has a name");
    let others = [get("min"), get("max")].into_iter().flatten().map(value).collect();
    Control { name, value: value(get("value").expect("an input has a value")), others }
}

fn select(text: &str) -> Control {
    let name = attribute(&format!(" {text}"), "name").expect("a choice has a name").to_string();
    let options = text.split("<option>").skip(1).map(|rest| rest.split('<').next().unwrap());
    let mut options = options.map(|option| Value::String(option.to_string()));
    Control {
        name,
        value: options.next().expect("a choice has options"),
        others: options.collect(),
    }
}

impl Form {
    /// The settings that the page shows, and those with each control in turn set to each of its
    /// other values.
    pub fn settings(&self) -> Vec<String> {
        let mut as_shown =
            Map::from_iter([("figure".to_string(), Value::String(self.figure.clone()))]);
        as_shown.extend(
            self.controls.iter().map(|control| (control.name.clone(), control.value.clone())),
        );
        let moved = self
            .controls
            .iter()
            .flat_map(|control| control.others.iter().map(|other| (&control.name, other)));
        let moved = moved.map(|(name, other)| {
            let mut settings = as_shown.clone();
            settings.insert(name.clone(), other.clone());
            Value::Object(settings).to_string()
        });
        std::iter::once(Value::Object(as_shown.clone()).to_string()).chain(moved).collect()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn controls_are_read_as_the_script_reads_them() {
        let page = "Text.\n\n<form class=\"live\" data-figure=\"f\" data-model=\"cats\" \
            data-label=\"l\">\n<img src=\"figures/f.png\" alt=\"\">\n\
            <label>t <input type=\"range\" name=\"t\" min=\"0\" max=\"9\" step=\"0.5\" \
            value=\"2.5\"></label>\n\
            <input type=\"text\" name=\"p\" value=\"a cat\">\n\
            <select name=\"s\"><option>one</option><option>two</option></select>\n</form>\n\nText.";
        let [form] = super::forms(page).try_into().unwrap();
        assert_eq!((form.model.as_deref(), form.picture.as_str()), (Some("cats"), "f.png"));
        assert_eq!(
            form.settings(),
            [
                r#"{"figure":"f","p":"a cat","s":"one","t":2.5}"#,
                r#"{"figure":"f","p":"a cat","s":"one","t":0}"#,
                r#"{"figure":"f","p":"a cat","s":"one","t":9}"#,
                r#"{"figure":"f","p":"a cat","s":"two","t":2.5}"#,
            ]
        );
    }

    #[test]
    #[should_panic(expected = "is empty without scripts")]
    fn a_form_has_a_picture_before_it_works() {
        super::forms("<form class=\"live\" data-figure=\"f\" data-label=\"l\">\n</form>");
    }
}
