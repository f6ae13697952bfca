//! Every notebook runs from the top, and its output matches what is stored in it.

use anyhow::{ensure, Result};
use check_notebooks::{chapters, notebooks, Kernel, Notebook};
use serde_json::json;

fn main() -> Result<()> {
    evcxr::runtime_hook();
    a_cell_that_fails_is_an_error()?;
    a_cell_that_says_something_else_is_found()?;
    let mut differences = Vec::new();
    let found = notebooks()?;
    let names: Vec<_> = found.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
    let chapters = chapters()?;
    ensure!(names == chapters, "notebooks {names:?} for the chapters {chapters:?}");
    for path in &found {
        let bytes = std::fs::metadata(path)?.len();
        ensure!(bytes <= 1_500_000, "{}: {bytes} bytes are too many", path.display());
        // If a cell's last line moves a value, the kernel prints that line's value as text instead
        // of showing it as a picture.
        let shown = !std::fs::read_to_string(path)?.contains("Figure {");
        ensure!(shown, "{}: a picture is stored as text", path.display());
        let started = std::time::Instant::now();
        differences.extend(Notebook::read(path)?.check()?);
        println!("{} ran in {:.0} s", path.display(), started.elapsed().as_secs_f64());
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n\n"));
    println!("{} passed, 0 failed", 2 + found.len());
    Ok(())
}

/// A check that no notebook can fail would check nothing.
fn a_cell_that_fails_is_an_error() -> Result<()> {
    let mut kernel = Kernel::start()?;
    kernel.run("let number = 7;")?;
    for broken in [
        "let word: &str = number;",
        "let none: Vec<i32> = vec![]; none[number]",
        "\"x\".parse::<i32>()?",
    ] {
        ensure!(kernel.run(broken).is_err(), "this should have failed: {broken}");
    }
    Ok(())
}

fn a_cell_that_says_something_else_is_found() -> Result<()> {
    let path = std::env::temp_dir().join(format!("said-{}.ipynb", std::process::id()));
    let cell = |source: &str, said: &str| {
        let output = json!({"output_type": "stream", "name": "stdout", "text": [said]});
        json!({"cell_type": "code", "source": [source], "outputs": [output]})
    };
    let source = "println!(\"the loss is {}\", 0.123456);";
    let cells = [
        cell(source, "the loss is 0.1235\n"),
        cell(source, "the loss is 0.13\n"),
        cell(source, "a loss\n"),
    ];
    std::fs::write(&path, json!({"cells": cells}).to_string())?;
    let differences = Notebook::read(&path)?.check();
    std::fs::remove_file(&path)?;
    let differences = differences?;
    ensure!(differences.len() == 2, "{differences:?}");
    ensure!(
        differences[0].contains("cell 1") && differences[1].contains("cell 2"),
        "{differences:?}"
    );
    Ok(())
}
