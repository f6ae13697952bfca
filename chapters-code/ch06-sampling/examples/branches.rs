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
/// How many counts of unrelated cats show what chance does.
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

/// The same counts for unrelated real cats: what chance alone gives, as mean and
/// deviation of many counts.
fn alike_by_chance() -> [(&'static str, String); 5] {
    let group = |g| (g * BRANCHES..(g + 1) * BRANCHES).map(|i| named(&nth(0, i).0));
    let groups = (0..UNRELATED * TRUNKS).map(|g| group(g).collect());
    let groups: Vec<Vec<_>> = groups.collect();
    std::array::from_fn(|i| {
        let sums = groups.chunks(TRUNKS as usize);
        let sums = sums.map(|all| all.iter().map(|cats| agree(cats, i)).sum::<usize>());
        let sums: Vec<f64> = sums.map(|sum| sum as f64).collect();
        let mean = sums.iter().sum::<f64>() / sums.len() as f64;
        let variance = sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>()
            / (sums.len() - 1) as f64;
        (groups[0][0][i].0, format!("{mean:.0} ± {:.0}", variance.sqrt()))
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
    print_alike("by chance", alike_by_chance());
    figures::save_png("branches.png", &figures::image_rows(&rows, 5))?;
    cli::println!("wrote branches.png");
    Ok(())
}

fn main() -> ExitCode {
    cli::run(draw)
}
