//! A browser shows what the processor draws: the crate is built for browsers, and run by an
//! interpreter.

use std::path::Path;

use wasmi::{Caller, Engine, Extern, Linker, Memory, Module, Store, TypedFunc};

/// What the page was told.
#[derive(Default)]
struct Page {
    frames: Vec<(u32, u32, Vec<u8>, String)>,
    problems: Vec<String>,
}

struct Browser {
    store: Store<Page>,
    instance: wasmi::Instance,
}

fn memory(caller: &Caller<Page>) -> Memory {
    caller.get_export("memory").and_then(Extern::into_memory).unwrap()
}

fn read(caller: &Caller<Page>, start: u32, len: u32) -> Vec<u8> {
    memory(caller).data(caller)[start as usize..][..len as usize].to_vec()
}

impl Browser {
    fn open(module: &Path) -> Self {
        let engine = Engine::default();
        let module = Module::new(&engine, std::fs::read(module).unwrap()).unwrap();
        let mut linker = Linker::<Page>::new(&engine);
        let paint = |mut page: Caller<Page>,
                     pixels: u32,
                     width: u32,
                     height: u32,
                     _columns: u32,
                     caption: u32,
                     len: u32| {
            let pixels = read(&page, pixels, 4 * width * height);
            let caption = String::from_utf8(read(&page, caption, len)).unwrap();
            page.data_mut().frames.push((width, height, pixels, caption));
        };
        linker.func_wrap("page", "paint", paint).unwrap();
        let complain = |mut page: Caller<Page>, problem: u32, len: u32| {
            let problem = String::from_utf8(read(&page, problem, len)).unwrap();
            page.data_mut().problems.push(problem);
        };
        linker.func_wrap("page", "complain", complain).unwrap();
        let mut store = Store::new(&engine, Page::default());
        let instance = linker.instantiate_and_start(&mut store, &module).unwrap();
        let mut browser = Self { store, instance };
        browser.function::<()>("begin").call(&mut browser.store, ()).unwrap();
        browser
    }

    fn function<P: wasmi::WasmParams>(&self, name: &str) -> TypedFunc<P, ()> {
        self.instance.get_typed_func(&self.store, name).unwrap()
    }

    fn give(&mut self, bytes: &[u8]) -> (u32, u32) {
        let len = bytes.len() as u32;
        let room: TypedFunc<u32, u32> = self.instance.get_typed_func(&self.store, "room").unwrap();
        let start = room.call(&mut self.store, len).unwrap();
        let memory = self.instance.get_memory(&self.store, "memory").unwrap();
        memory.write(&mut self.store, start as usize, bytes).unwrap();
        (start, len)
    }

    fn hold(&mut self, path: &str, bytes: &[u8]) {
        let (path, content) = (self.give(path.as_bytes()), self.give(bytes));
        self.function("hold")
            .call(&mut self.store, (path.0, path.1, content.0, content.1))
            .unwrap();
    }

    fn draw(&mut self, settings: &str) -> Page {
        let given = self.give(settings.as_bytes());
        self.function("open").call(&mut self.store, given).unwrap();
        let advance: TypedFunc<(), u32> =
            self.instance.get_typed_func(&self.store, "advance").unwrap();
        while advance.call(&mut self.store, ()).unwrap() == 1 {}
        std::mem::take(self.store.data_mut())
    }
}

#[test]
fn a_browser_shows_what_the_processor_draws() {
    let root = &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let mut browser = Browser::open(&book_math::live::build(root).unwrap());
    for name in ["cats", "cats-text"] {
        let folder = cli::shipped(name);
        for path in files::below(&folder).unwrap() {
            let bytes = files::read(folder.join(&path)).unwrap();
            let path = format!("{name}/{}", path.display());
            browser.hold(&path, &bytes);
            live::hold(path, bytes);
        }
    }
    for settings in [
        r#"{"figure": "noising", "t": 300, "schedule": "squaredcos_cap_v2", "cat": 3}"#,
        r#"{"figure": "few_steps", "steps": 3, "eta": 0.5, "seed": 1}"#,
        r#"{"figure": "schedule_bench", "schedule": "linear", "first": 1, "last": 2,
            "timesteps": 100, "betas": "their roots"}"#,
        r#"{"figure": "plane", "data": "a cat's face", "steps": 5, "eta": 1, "show": "paths",
            "seed": 0}"#,
        r#"{"figure": "prompt", "prompt": "a black cat with blue eyes", "guidance_scale": 2,
            "seed": 0, "steps": 2}"#,
    ] {
        let page = browser.draw(settings);
        assert!(page.problems.is_empty(), "{:?}", page.problems);
        let expected: Vec<_> = live::frames(settings).unwrap().collect();
        assert_eq!(page.frames.len(), expected.len(), "{settings}");
        for ((width, height, pixels, caption), frame) in page.frames.iter().zip(&expected) {
            assert_eq!(((*width, *height), caption), (frame.picture.dimensions(), &frame.caption));
            let pairs = pixels.iter().zip(frame.picture.as_raw());
            let most = pairs.map(|(&a, &b)| a.abs_diff(b)).max().unwrap();
            assert!(most <= 1, "{settings}, {caption}: a value differs by {most} of 255");
        }
    }
    let page = browser.draw(
        r#"{"figure": "prompt", "prompt": "a dog", "guidance_scale": 2, "seed": 0, "steps": 2}"#,
    );
    assert!(page.frames.is_empty() && page.problems[0].contains("dog"), "{:?}", page.problems);
}
