//! The book in Chromium: what each page loads, and whether every interactive figure works when it
//! is used as a reader would use it. That covers each figure's first picture, the pictures that it
//! draws, dragging a slider, entering a bad value, and losing the files.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use browser_tests::{Chromium, Tab};
use flate2::write::GzEncoder;
use flate2::Compression;
use serde_json::Value;

/// The longest that a figure may take to draw here (training takes longest).
const PATIENCE: Duration = Duration::from_secs(120);
/// The number of events in a drag, and the fewest paints that they must cause.
const DRAG: usize = 60;
const PAINTS: u64 = 20;
/// The most bytes that a page may load, with all its pictures, before anything is touched, and the
/// most that it may have loaded once it has drawn what a prompt asks for. Bytes are counted after
/// the compression that web servers apply.
const MOST_LOADED: u64 = 300_000;
const MOST_FOR_A_PROMPT: u64 = 4_000_000;

/// The book, built in a folder and served from there.
struct Book {
    address: String,
    folder: tempfile::TempDir,
}

impl Book {
    fn build() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut build = Command::new("mdbook");
        build.arg("build").arg(&root).arg("-d").arg(folder.path());
        // This Cargo variable is for the test, not for the build that mdBook starts.
        let built = build.env_remove("CARGO_MANIFEST_DIR").status().context("mdbook")?;
        anyhow::ensure!(built.success(), "mdbook build failed");
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let served = folder.path().to_path_buf();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let served = served.clone();
                // One thread per connection: a browser opens connections before it needs them, and
                // keeps them open.
                std::thread::spawn(move || answer(connection, &served).ok());
            }
        });
        Ok(Self { address, folder })
    }
}

/// Reads one request and sends the file that it names, or status 404 if there is no such file. The
/// browser may hang up in the meantime; that error can be ignored.
fn answer(mut connection: TcpStream, served: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The headers end with an empty line.
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let url = request.split(' ').nth(1).unwrap_or("/");
    let path = Path::new(url.split(['?', '#']).next().unwrap_or("/").trim_start_matches('/'));
    let (status, bytes) = match std::fs::read(served.join(path)) {
        Ok(bytes) => ("200 OK", bytes),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let kind = content_type(path);
    let (bytes, packed) = match kind {
        "application/octet-stream" => (bytes, ""),
        _ => (gzip(&bytes)?, "Content-Encoding: gzip\r\n"),
    };
    let length = bytes.len();
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{packed}Content-Length: {length}\r\n\
        Connection: close\r\n\r\n"
    )?;
    connection.write_all(&bytes)
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes)?;
    packed.finish()
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|kind| kind.to_str()) {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

/// Each page, and whether it has figures.
fn pages() -> Vec<(String, bool)> {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../book");
    let files =
        std::fs::read_dir(book).expect("the book").map(|entry| entry.expect("a page").path());
    let is_page = |path: &PathBuf| {
        path.extension().is_some_and(|kind| kind == "md") && !path.ends_with("SUMMARY.md")
    };
    let mut pages: Vec<_> = files
        .filter(is_page)
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(path).expect("a page");
            (name, text.contains("<form class=\"live\""))
        })
        .collect();
    pages.sort();
    pages
}

/// The value of an expression in the page.
fn ask(tab: &mut Tab, expression: &str) -> Value {
    tab.ask(expression).unwrap_or_else(|problem| panic!("{problem:#}"))
}

fn holds(tab: &mut Tab, expression: &str) -> bool {
    ask(tab, expression) == true
}

fn text(tab: &mut Tab, expression: &str) -> String {
    ask(tab, expression).as_str().unwrap_or_default().to_string()
}

/// Waits until an expression in the page is true.
fn wait(tab: &mut Tab, what: &str, expression: &str) {
    let start = Instant::now();
    while !holds(tab, expression) {
        assert!(start.elapsed() < PATIENCE, "{what}: {expression} did not become true");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn caption(tab: &mut Tab, form: &str) -> String {
    text(tab, &format!("{form}.querySelector('output.caption').value"))
}

/// What a page has loaded so far.
const LOADED: &str =
    "performance.getEntries().filter(entry => entry.encodedBodySize !== undefined)";

/// How many bytes a page has loaded so far.
fn bytes_loaded(tab: &mut Tab) -> u64 {
    let sum = format!("{LOADED}.reduce((sum, entry) => sum + entry.encodedBodySize, 0)");
    ask(tab, &sum).as_u64().unwrap_or_default()
}

/// Before anything is touched, a page loads little, even if it is read to the end, and nothing from
/// other servers.
fn loads_little(tab: &mut Tab, page: &str) {
    wait(tab, page, "document.readyState === 'complete' && document.fonts.status === 'loaded'");
    let bytes_at_first = bytes_loaded(tab);
    let pictures = "[...document.querySelectorAll('main img')].filter(picture => \
        picture.checkVisibility())";
    ask(tab, &format!("{pictures}.forEach(picture => picture.scrollIntoView())"));
    ask(tab, &format!("{pictures}.forEach(picture => picture.loading = 'eager')"));
    wait(tab, page, &format!("{pictures}.every(picture => picture.complete)"));
    let bytes = bytes_loaded(tab);
    println!("{page}: {} kB, {} kB to its end", bytes_at_first / 1000, bytes / 1000);
    assert!(bytes_at_first >= 20_000, "{page} loads only {bytes_at_first} bytes");
    assert!(bytes <= MOST_LOADED, "{page} loads {bytes} bytes");
    let is_ours = format!("{LOADED}.every(entry => entry.name.startsWith(location.origin))");
    assert!(holds(tab, &is_ours), "{page} asks another server");
}

/// Draws what a page's first prompt asks for, when the page has not yet loaded anything for
/// prompts.
fn a_prompt_loads_little(tab: &mut Tab) {
    ask(tab, "document.querySelector('form.live > button').click()");
    let drawn = "document.querySelector('form.live canvas[role=img]:not([hidden])') !== null";
    wait(tab, "the first prompt", drawn);
    let bytes = bytes_loaded(tab);
    println!("first prompt: {} kB", bytes / 1000);
    assert!((1_000_000..=MOST_FOR_A_PROMPT).contains(&bytes), "a prompt loads {bytes} bytes");
}

/// Uses figure number `i` of a page as a reader would, and checks what it shows.
fn play(tab: &mut Tab, page: &str, i: usize) {
    let form = format!("document.querySelectorAll('form.live')[{i}]");
    let name = format!("{page}, {}", text(tab, &format!("{form}.dataset.figure")));
    // An image is loaded when it comes near the window.
    ask(tab, &format!("{form}.scrollIntoView()"));
    let first = format!("{form}.querySelector('img').naturalWidth > 0");
    wait(tab, &name, &first);

    // Begin as a reader would: with the button, or with the first control.
    let begin = format!(
        "(form => {{ const button = form.querySelector('button:not([type=button])');
            if (button) button.click();
            else form.querySelector('[name]')
                .dispatchEvent(new Event('input', {{ bubbles: true }}));
        }})({form})"
    );
    let done = format!(
        "!{form}.hasAttribute('aria-busy') && {form}.querySelector('progress').hidden
            && !{form}.querySelector('canvas[role=img]').hidden"
    );
    ask(tab, &begin);
    wait(tab, &name, &done);
    assert!(holds(tab, &format!("{form}.querySelector('.problem') === null")), "{name}");
    assert!(!caption(tab, &form).is_empty(), "{name} has no caption");
    let label = text(tab, &format!("{form}.querySelector('canvas[role=img]').ariaLabel"));
    assert!(label.len() > 20, "{name}: a screen reader reads '{label}'");

    // Back to the first picture of a film.
    let frames = text(tab, &format!("{form}.querySelector('.time input').max"));
    if holds(tab, &format!("!{form}.querySelector('.time').hidden")) {
        let before = caption(tab, &form);
        ask(
            tab,
            &format!(
                "(slider => {{ slider.value = 0; slider.dispatchEvent(new Event('input')); }})\
            ({form}.querySelector('.time input'))"
            ),
        );
        std::thread::sleep(Duration::from_millis(200));
        assert_ne!(caption(tab, &form), before, "{name}: {frames} pictures look the same");
    }

    // A slider is dragged.
    let slider = format!("{form}.querySelector('[type=range][name]')");
    if holds(tab, &format!("{slider} !== null")) {
        let drag = format!(
            "new Promise(done => {{
                const [slider, canvas] = [{slider}, {form}.querySelector('canvas[role=img]')];
                const context = canvas.getContext('2d'), paint = context.putImageData;
                let paints = 0, event = 0;
                context.putImageData = function (...all) {{ paints++; paint.apply(this, all); }};
                const timer = setInterval(() => {{
                    const [low, high] = [Number(slider.min), Number(slider.max)];
                    slider.value = low + (high - low) * (0.2 + 0.5 * event / {DRAG});
                    slider.dispatchEvent(new Event('input', {{ bubbles: true }}));
                    if (++event === {DRAG}) {{
                        clearInterval(timer);
                        setTimeout(() => done(paints), 100);
                    }}
                }}, 50);
            }})"
        );
        let paints = ask(tab, &drag).as_u64().expect("a number");
        println!("{name}: {paints} paints for {DRAG} events");
        assert!(paints >= PAINTS, "{name} paints {paints} times while it is dragged");
        wait(tab, &name, &done);
    }

    if holds(tab, &format!("'point' in {form}.dataset")) {
        point(tab, &name, &form);
        wait(tab, &name, &done);
    }

    if holds(tab, &format!("{form}.querySelector('.board') !== null")) {
        paint(tab, &name, &form);
        wait(tab, &name, &done);
    }

    // A bad value takes the picture away.
    let number = format!("{form}.querySelector('[type=number][name]:not([hidden])')");
    if holds(tab, &format!("{number} !== null")) {
        ask(
            tab,
            &format!(
                "(control => {{ control.value = -1;
                control.dispatchEvent(new Event('input', {{ bubbles: true }})); }})({number})"
            ),
        );
        let wrong = format!(
            "{form}.querySelector('.problem') !== null
                && {form}.querySelector('canvas[role=img]').hidden"
        );
        wait(tab, &name, &wrong);
        ask(
            tab,
            &format!(
                "(control => {{ control.value = 1;
                control.dispatchEvent(new Event('input', {{ bubbles: true }})); }})({number})"
            ),
        );
        wait(tab, &name, &done);
    }
}

/// Points at the fourth pixel of the second row; the caption then prints that pixel's numbers.
fn point(tab: &mut Tab, name: &str, form: &str) {
    let canvas = format!("{form}.querySelector('canvas[role=img]')");
    ask(tab, &format!("{canvas}.scrollIntoView({{ block: 'center' }})"));
    let corner = ask(tab, &format!("(box => [box.x, box.y])({canvas}.getBoundingClientRect())"));
    let side = format!("{form}.dataset.pixel * {canvas}.clientWidth / {canvas}.width");
    let side = ask(tab, &side).as_f64().expect("a width");
    let [x, y] = [0, 1].map(|i| corner[i].as_f64().expect("a place"));
    tab.drag([x + 3.2 * side, y + 1.5 * side], [x + 3.6 * side, y + 1.5 * side])
        .unwrap_or_else(|problem| panic!("{problem:#}"));
    let set = ["column", "row"].map(|control| format!("{form}.elements.{control}.value"));
    assert_eq!(set.map(|value| text(tab, &value)), ["3", "1"], "{name}");
}

/// Paints with the pointer and the keyboard, and then undoes it all.
fn paint(tab: &mut Tab, name: &str, form: &str) {
    let board = format!("{form}.querySelector('.board canvas')");
    // A board without colours has only marks.
    let image = format!("({form}.elements.image ?? {form}.elements.mask).value");
    let digit = if holds(tab, &format!("'image' in {form}.elements")) { "0" } else { "1" };
    ask(tab, &format!("{board}.scrollIntoView({{ block: 'center' }})"));
    let corner = ask(tab, &format!("(box => [box.x, box.y])({board}.getBoundingClientRect())"));
    let side = ask(tab, &format!("{board}.clientWidth / 16")).as_f64().expect("a width");
    // The third to sixth pixels of the second row.
    let [x, y] = [0, 1].map(|i| corner[i].as_f64().expect("a place"));
    let [from, to] = [2.5, 5.5].map(|column| [x + column * side, y + 1.5 * side]);
    let before = text(tab, &image);
    if digit == "0" {
        ask(tab, &format!("{form}.querySelector('.brushes button').click()"));
    }
    tab.drag(from, to).unwrap_or_else(|problem| panic!("{problem:#}"));
    let painted = format!("{}{}{}", &before[..18], digit.repeat(4), &before[22..]);
    assert_eq!(text(tab, &image), painted, "{name}");
    // The cursor is on the last pixel of the stroke.
    let keys = "['ArrowDown', 'ArrowRight', ' ']";
    ask(
        tab,
        &format!(
            "{keys}.forEach(key => {board}.dispatchEvent(new KeyboardEvent('keydown', {{ key }})))"
        ),
    );
    assert_eq!(text(tab, &image), format!("{}{digit}{}", &painted[..38], &painted[39..]), "{name}");
    ask(tab, &format!("{form}.querySelector('.brushes button:last-child').click()"));
    assert_eq!(text(tab, &image), before, "{name}");
}

#[test]
fn pages_load_little_and_every_figure_plays() -> anyhow::Result<()> {
    let has_mdbook = Command::new("mdbook").arg("--version").output().is_ok();
    let Some(chromium) = Chromium::installed().filter(|_| has_mdbook) else {
        println!("skipped: this test needs Chromium and mdBook");
        return Ok(());
    };
    let book = Book::build()?;
    for (page, _) in pages() {
        // A new browser has nothing that an earlier page loaded.
        let mut browser = Chromium::start(chromium)?;
        let mut tab = browser.open(&format!("{}/{page}.html", book.address), [1280, 900])?;
        loads_little(&mut tab, &page);
        if page == "introduction" {
            a_prompt_loads_little(&mut tab);
        }
    }
    let mut browser = Chromium::start(chromium)?;
    for size in [[1280, 900], [360, 640]] {
        for (page, _) in pages().into_iter().filter(|(_, has_figures)| *has_figures) {
            let mut tab = browser.open(&format!("{}/{page}.html", book.address), size)?;
            wait(&mut tab, &page, "document.querySelector('form.live.ready') !== null");
            let forms = ask(&mut tab, "document.querySelectorAll('form.live').length");
            for i in 0..forms.as_u64().context("the number of figures")? as usize {
                play(&mut tab, &page, i);
            }
            tab.close()?;
        }
    }

    // The files are lost before a figure is first used, and this new browser has loaded none of
    // them yet.
    let mut browser = Chromium::start(chromium)?;
    let mut tab = browser.open(&format!("{}/ch03.html", book.address), [1280, 900])?;
    wait(&mut tab, "ch03", "document.querySelector('form.live.ready') !== null");
    std::fs::remove_dir_all(book.folder.path())?;
    let touch = "document.querySelector('form.live [name]')\
        .dispatchEvent(new Event('input', { bubbles: true }))";
    ask(&mut tab, touch);
    wait(&mut tab, "lost files", "document.querySelector('form.live .problem') !== null");
    Ok(())
}
