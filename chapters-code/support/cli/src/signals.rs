//! Being asked to stop: Ctrl-C, and on Unix also SIGTERM and SIGHUP.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether the program has been asked to stop. When it is asked a second time, it ends at once.
#[derive(Clone, Default)]
pub struct Signals(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The number of the signal that came first.
    asked: Option<u8>,
    /// What to say before exiting, if a signal is to end the program at once.
    farewell: Option<String>,
}

impl Signals {
    /// Starts listening. Call this once per program.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub fn listen() -> io::Result<Self> {
        let signals = Self::default();
        let told = signals.clone();
        listen(move |signal| told.hear(signal))?;
        Ok(signals)
    }

    /// Exit code of a program that was asked to stop.
    pub fn exit_code(&self) -> Option<ExitCode> {
        self.state().asked.map(|signal| code(signal).into())
    }

    /// Whether the program was asked to stop.
    pub fn stop(&self) -> bool {
        self.state().asked.is_some()
    }

    /// Does work that it is safe to lose. If a request to stop arrives in the meantime, the program
    /// says `farewell` and ends at once. If the request came earlier, the work does not begin.
    pub fn unless_stopped<T>(&self, farewell: impl Display, work: impl FnOnce() -> T) -> Option<T> {
        {
            let mut state = self.state();
            if state.asked.is_some() {
                return None;
            }
            state.farewell = Some(farewell.to_string());
        }
        let done = work();
        self.state().farewell = None;
        Some(done)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, signal: u8) {
        let mut state = self.state();
        if let Some(farewell) = &state.farewell {
            crate::println!("{farewell}");
            exit(signal);
        }
        if state.asked.replace(signal).is_some() {
            exit(signal);
        }
    }
}

/// The exit code with which shells report that a signal ended a program.
fn code(signal: u8) -> u8 {
    128 + signal
}

/// Exits without cleaning up, because other threads are still at work.
#[cfg(unix)]
fn exit(signal: u8) -> ! {
    signal_hook::low_level::exit(code(signal).into())
}

#[cfg(not(unix))]
fn exit(signal: u8) -> ! {
    std::process::exit(code(signal).into())
}

#[cfg(unix)]
fn listen(mut hear: impl FnMut(u8) + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !ignored(signal));
    let mut signals = signal_hook::iterator::Signals::new(wanted)?;
    let listen = move || signals.forever().for_each(|signal| hear(signal as u8));
    std::thread::Builder::new().name("signals".into()).spawn(listen)?;
    Ok(())
}

/// Whether this signal was already ignored when the program started, as under `nohup`.
#[cfg(unix)]
fn ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action, sigaction only fills in the old one. It is zeroed first,
    // because not every libc fills in all fields, and zeros are a valid action.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(windows)]
fn listen(hear: impl Fn(u8) + Send + 'static) -> io::Result<()> {
    const SIGINT: u8 = 2;
    ctrlc::set_handler(move || hear(SIGINT)).map_err(io::Error::other)
}

#[cfg(not(any(unix, windows)))]
fn listen(_: impl Fn(u8) + Send + 'static) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
