//! The project of chapter 6: walks that branch along the way. When is the cat decided?

use std::process::ExitCode;

use ch01_tensors::cats::{attributes_of, nth, Attributes};
use ch04_unet::model_dir;
use cli::Project;
use ops::AutoDevice;

#[allow(dead_code)] // the other exercises
#[path = "../exercises/answers.rs"]
mod answers;
#[allow(dead_code)]
#[path = "../exercises/solutions.rs"]
mod solutions;

/// The timesteps at which the walks branch, and the number of branches.
const TIMESTEPS: [usize; 5] = [990, 900, 800, 700, 500];
const BRANCHES: u64 = 8;
/// How many walks branch; the picture shows only the first of them.
const TRUNKS: u64 = 4;
/// How many groups of unrelated cats show what chance does.
const UNRELATED: u64 = 1000;

/// The name of each attribute, and its value as a number.
fn named(cat: &Attributes) -> [(&'static str, usize); 5] {
    [
        ("fur", cat.fur as usize),
        ("pattern", cat.pattern as usize),
        ("eyes", cat.eyes as usize),
        ("ears", cat.ears as usize),
        ("background", cat.background as usize),
    ]
}

/// How many of the cats share the most frequent value of an attribute.
fn agree(cats: &[[(&str, usize); 5]], attribute: usize) -> usize {
    let count = |value| cats.iter().filter(|cat| cat[attribute].1 == value).count();
    cats.iter().map(|cat| count(cat[attribute].1)).max().expect("there are cats")
}

/// The same counts for unrelated real cats, as a mean over groups: what chance alone
/// gives.
fn alike_by_chance() -> [(&'static str, u64); 5] {
    let group =
        |g| (g * BRANCHES..(g + 1) * BRANCHES).map(|i| named(&nth(0, i).0)).collect();
    let groups: Vec<Vec<_>> = (0..UNRELATED).map(group).collect();
    std::array::from_fn(|i| {
        let sum: usize = groups.iter().map(|cats| agree(cats, i)).sum();
        let share = sum as f64 / UNRELATED as f64;
        (groups[0][0][i].0, (share * TRUNKS as f64).round() as u64)
    })
}

fn print_alike<N: std::fmt::Display>(cats: &str, alike: [(&str, N); 5]) {
    let alike = alike.map(|(name, count)| format!("{name} {count}")).join(", ");
    cli::println!("{cats}: {alike}");
}

fn draw(project: Project) -> anyhow::Result<()> {
    let branches = if project.mine { answers::branches } else { solutions::branches };
    cli::set_threads(None)?;
    let device: AutoDevice = cli::device(0)?;
    let model = model_dir::load(&device, &cli::shipped("cats"))?;
    let mut rows = Vec::new();
    let of = TRUNKS * BRANCHES;
    for t in TIMESTEPS {
        let mut sums = [("", 0); 5];
        for trunk in 0..TRUNKS {
            let cats = branches(&device, &model, trunk, t, BRANCHES);
            let values = cats.as_vec();
            let images = values.chunks(values.len() / BRANCHES as usize);
            let all: Vec<_> =
                images.map(|image| named(&attributes_of(image))).collect();
            for (i, (name, sum)) in sums.iter_mut().enumerate() {
                *name = all[0][i].0;
                *sum += agree(&all, i);
            }
            if trunk == 0 {
                rows.push(cats);
            }
        }
        print_alike(&format!("parted at {t}, alike among {of} cats"), sums);
    }
    print_alike(&format!("alike among {of} unrelated real cats"), alike_by_chance());
    figures::save_png("branches.png", &figures::image_rows(&rows, 5))?;
    cli::println!("wrote branches.png");
    Ok(())
}

fn main() -> ExitCode {
    cli::run(draw)
}
