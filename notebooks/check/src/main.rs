//! Runs notebooks (all, or those whose names contain one of the arguments) and writes the output of
//! their cells into them.

use anyhow::{ensure, Result};
use check_notebooks::{notebooks, Notebook};

fn main() -> Result<()> {
    evcxr::runtime_hook();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = |path: &std::path::Path| {
        words.is_empty() || words.iter().any(|w| path.to_string_lossy().contains(w))
    };
    let chosen: Vec<_> = notebooks()?.into_iter().filter(|path| asked(path)).collect();
    ensure!(!chosen.is_empty(), "no notebook's name contains {}", words.join(" or "));
    for path in chosen {
        Notebook::read(&path)?.remake()?;
        println!("remade {}", path.display());
    }
    Ok(())
}
