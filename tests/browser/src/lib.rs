//! Chromium, driven over its DevTools protocol: as much of the protocol as a test of the figures
//! needs.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use serde_json::{json, Value};
use tungstenite::{Message, WebSocket};

/// A browser without a window. It is closed when this value is dropped.
pub struct Chromium {
    process: Child,
    socket: WebSocket<TcpStream>,
    calls: u64,
    /// Whether the most recently requested page has loaded.
    loaded: bool,
    _profile: tempfile::TempDir,
}

/// A page in a [`Chromium`].
pub struct Tab<'a> {
    browser: &'a mut Chromium,
    session: String,
    target: String,
}

/// How long the browser may take to answer.
const PATIENCE: Duration = Duration::from_secs(180);

/// Names under which Chromium is installed.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

impl Chromium {
    /// The name of the installed browser, if there is one.
    pub fn installed() -> Option<&'static str> {
        let answers = |name: &&str| Command::new(name).arg("--version").output().is_ok();
        NAMES.into_iter().find(answers)
    }

    /// Starts a browser.
    ///
    /// # Errors
    /// If it does not start, or does not say where it is listening.
    pub fn start(name: &str) -> anyhow::Result<Self> {
        let profile = tempfile::tempdir()?;
        let mut process = Command::new(name)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stderr(Stdio::piped())
            .spawn()?;
        let said = BufReader::new(process.stderr.take().context("its standard error is piped")?);
        let mut address = None;
        let mut lines = said.lines();
        while let (None, Some(line)) = (&address, lines.next()) {
            address = line?.strip_prefix("DevTools listening on ").map(str::to_string);
        }
        // The rest of its output must be read, or the browser will block.
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.context("the browser does not say where it listens")?;
        let host = address.split('/').nth(2).context("an address has a host")?;
        let stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (socket, _) = tungstenite::client(address.as_str(), stream)
            .map_err(|problem| anyhow::anyhow!("{problem}"))?;
        Ok(Self { process, socket, calls: 0, loaded: false, _profile: profile })
    }

    fn call(
        &mut self,
        session: Option<&str>,
        method: &str,
        params: Value,
    ) -> anyhow::Result<Value> {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = session {
            call["sessionId"] = session.into();
        }
        self.socket.send(Message::text(call.to_string()))?;
        loop {
            let mut answer = self.read()?;
            if answer["id"] == self.calls {
                anyhow::ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return Ok(answer["result"].take());
            }
        }
    }

    /// The next message from the browser.
    fn read(&mut self) -> anyhow::Result<Value> {
        loop {
            if let Message::Text(text) = self.socket.read()? {
                let message: Value = serde_json::from_str(&text)?;
                self.loaded |= message["method"] == "Page.loadEventFired";
                return Ok(message);
            }
        }
    }

    /// Opens a page, and waits until it is loaded.
    ///
    /// # Errors
    /// If the browser fails.
    pub fn open(&mut self, url: &str, [width, height]: [u32; 2]) -> anyhow::Result<Tab<'_>> {
        let text = |value: &Value| value.as_str().map(str::to_string).context("a name");
        let blank = json!({ "url": "about:blank" });
        let target = text(&self.call(None, "Target.createTarget", blank)?["targetId"])?;
        let attach = json!({ "targetId": target, "flatten": true });
        let session = text(&self.call(None, "Target.attachToTarget", attach)?["sessionId"])?;
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call(Some(&session), "Emulation.setDeviceMetricsOverride", size)?;
        self.call(Some(&session), "Page.enable", json!({}))?;
        self.loaded = false;
        self.call(Some(&session), "Page.navigate", json!({ "url": url }))?;
        // A small page may have loaded before the call is answered.
        while !self.loaded {
            self.read()?;
        }
        Ok(Tab { browser: self, session, target })
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It may have ended already, in which case there is nothing to do.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// How many times the pointer moves in a drag.
const DRAG_STEPS: u32 = 20;

impl Tab<'_> {
    /// The value of a JavaScript expression, awaited if it is a promise.
    ///
    /// # Errors
    /// If the browser fails, or the expression throws.
    pub fn ask(&mut self, expression: &str) -> anyhow::Result<Value> {
        let params =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.browser.call(Some(&self.session), "Runtime.evaluate", params)?;
        let thrown = &answer["exceptionDetails"];
        anyhow::ensure!(thrown.is_null(), "{expression}: {thrown}");
        Ok(answer["result"]["value"].take())
    }

    /// Drags the pointer from one place in the window to another, in CSS pixels.
    ///
    /// # Errors
    /// If the browser fails.
    pub fn drag(&mut self, from: [f64; 2], to: [f64; 2]) -> anyhow::Result<()> {
        let along = (0..=DRAG_STEPS).map(|i| {
            let share = i as f64 / DRAG_STEPS as f64;
            [0, 1].map(|axis| from[axis] + share * (to[axis] - from[axis]))
        });
        let moves = along.map(|place| ("mouseMoved", place));
        let events = [("mousePressed", from)].into_iter().chain(moves);
        for (kind, [x, y]) in events.chain([("mouseReleased", to)]) {
            let buttons = (kind != "mouseReleased") as u32;
            let event = json!({
                "type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1
            });
            self.browser.call(Some(&self.session), "Input.dispatchMouseEvent", event)?;
        }
        Ok(())
    }

    /// Closes the page.
    ///
    /// # Errors
    /// If the browser fails.
    pub fn close(self) -> anyhow::Result<()> {
        let target = json!({ "targetId": self.target });
        self.browser.call(None, "Target.closeTarget", target)?;
        Ok(())
    }
}
