//! The interface between a page and [`frames`](crate::frames): numbers, and addresses in memory.

use std::cell::RefCell;

use crate::{Frame, Frames};

thread_local! {
    /// The figure that is being drawn.
    static FIGURE: RefCell<Option<Frames>> = const { RefCell::new(None) };
}

#[link(wasm_import_module = "page")]
extern "C" {
    /// Paints `width × height` pixels of four bytes each, which show `columns` pictures side by
    /// side, and writes the caption below them.
    fn paint(
        pixels: *const u8,
        width: usize,
        height: usize,
        columns: usize,
        caption: *const u8,
        len: usize,
    );
    /// Says what is wrong.
    fn complain(problem: *const u8, len: usize);
}

/// Call this first: from then on a panic sends its message to the page.
#[no_mangle]
pub extern "C" fn begin() {
    std::panic::set_hook(Box::new(|panic| say(&panic.to_string())));
}

/// `len` bytes for the page to write to. The next function to receive them frees them.
#[no_mangle]
pub extern "C" fn room(len: usize) -> *mut u8 {
    Box::into_raw(vec![0_u8; len].into_boxed_slice()).cast::<u8>()
}

/// The bytes that the page wrote to a [`room`].
///
/// # Safety
/// `start` comes from [`room`] with this `len`, and is given up with this call.
unsafe fn bytes(start: *mut u8, len: usize) -> Vec<u8> {
    // SAFETY: the caller guarantees that this is the box from `room`, and gives it up.
    unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(start, len)) }.into_vec()
}

/// Holds a file for the figures to read.
///
/// # Safety
/// Both addresses come from [`room`], each with its length.
#[no_mangle]
pub unsafe extern "C" fn hold(path: *mut u8, path_len: usize, content: *mut u8, len: usize) {
    // SAFETY: the caller guarantees that both come from `room`.
    let (path, content) = unsafe { (bytes(path, path_len), bytes(content, len)) };
    crate::hold(String::from_utf8_lossy(&path).into_owned(), content);
}

/// Begins a figure with these settings, in place of the previous one.
///
/// # Safety
/// `settings` comes from [`room`] with this `len`.
#[no_mangle]
pub unsafe extern "C" fn open(settings: *mut u8, len: usize) {
    // SAFETY: the caller guarantees that `settings` comes from `room`.
    let settings = unsafe { bytes(settings, len) };
    let figure = crate::frames(&String::from_utf8_lossy(&settings));
    let figure = figure.map_err(|problem| say(&format!("{problem:#}"))).ok();
    FIGURE.with(|open| open.replace(figure));
}

/// Draws the next picture of the figure, and returns whether there was one.
#[no_mangle]
pub extern "C" fn advance() -> bool {
    // Taken out, so that a figure that panics is not asked again.
    let Some(mut figure) = FIGURE.with(RefCell::take) else { return false };
    let Some(frame) = figure.next() else { return false };
    show(frame);
    FIGURE.with(|open| open.replace(Some(figure)));
    true
}

fn show(frame: Frame) {
    let (width, height) = frame.picture.dimensions();
    // SAFETY: the page reads these bytes before the call returns.
    unsafe {
        paint(
            frame.picture.as_raw().as_ptr(),
            width as usize,
            height as usize,
            frame.columns,
            frame.caption.as_ptr(),
            frame.caption.len(),
        )
    }
}

fn say(problem: &str) {
    // SAFETY: as above.
    unsafe { complain(problem.as_ptr(), problem.len()) }
}

getrandom::register_custom_getrandom!(no_randomness);

/// All randomness comes from seeds.
fn no_randomness(_: &mut [u8]) -> Result<(), getrandom::Error> {
    Err(getrandom::Error::UNSUPPORTED)
}
