// The figures that the reader can touch. What they show is drawn by the book's own code, live.wasm, in a worker; here are
// only the controls around it. Nothing is loaded before a figure is first used.

const loaded = new Map();

/** What `make` makes of the content of a file beside this one; done once, unless it fails. */
function load(name, make = answer => answer.arrayBuffer()) {
    if (!loaded.has(name)) {
        const content = fetch(new URL(name, import.meta.url)).then(answer => {
            if (!answer.ok) throw new Error(`${name} cannot be loaded: ${answer.status} ${answer.statusText}`);
            return make(answer);
        }, () => {
            throw new Error(`${name} cannot be loaded: is the server still there?`);
        });
        content.catch(() => loaded.delete(name));
        loaded.set(name, content);
    }
    return loaded.get(name);
}

/** The files of a model, with their paths. */
async function model(name) {
    const paths = (await load(`${name}.list`, answer => answer.text())).trim().split("\n");
    return Promise.all(paths.map(async path => [path, await load(path)]));
}

/** A worker that knows the code and the model. */
async function open(name) {
    const compile = async answer => WebAssembly.compile(await answer.arrayBuffer());
    const [code, files] = await Promise.all([load("live.wasm", compile), name ? model(name) : []]);
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    worker.postMessage({ code, files });
    return worker;
}

/** Where the sliders stand, as the code reads it. */
function settings(form) {
    const values = { figure: form.dataset.figure };
    for (const control of form.elements) {
        const isNumber = ["number", "range"].includes(control.type);
        if (control.name) values[control.name] = isNumber ? control.valueAsNumber : control.value;
    }
    return JSON.stringify(values);
}

/** Shows a slider's value beside it; a screen reader says it by itself. */
function showValue(control) {
    const output = control.nextElementSibling;
    if (!(output instanceof HTMLOutputElement)) return;
    output.ariaHidden = "true";
    output.value = control.value;
}

function setUp(form) {
    const canvas = document.createElement("canvas");
    const caption = document.createElement("output");
    const button = form.querySelector("button");
    const still = matchMedia("(prefers-reduced-motion: reduce)");
    canvas.setAttribute("role", "img");
    canvas.hidden = true;
    const place = document.createElement("div");
    place.append(canvas);
    form.append(place, caption);
    let worker, opening = false, busy = false, again = false, asked = false, began, newest;

    function say(text, isProblem = false) {
        caption.textContent = text;
        caption.classList.toggle("problem", isProblem);
    }

    function paint() {
        if (!newest) return;
        const { pixels, width, height, text } = newest;
        newest = undefined;
        [canvas.width, canvas.height, canvas.hidden] = [width, height, false];
        canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
        canvas.setAttribute("aria-label", `${form.dataset.label}: ${text}`);
        say(text);
    }

    function drop() {
        worker?.terminate();
        worker = undefined;
    }

    function end() {
        busy = false;
        form.removeAttribute("aria-busy");
        paint();
        if (again) draw();
    }

    function fail(problem) {
        newest = undefined;
        if (!caption.matches(".problem")) say(problem, true); // the first one is the cause
    }

    function broken(problem) {
        fail(problem);
        drop();
        end();
    }

    function receive({ data }) {
        if (data.broken) return broken(data.problem);
        if (data.problem) return fail(data.problem);
        if (data.pixels) {
            newest = data;
            if (!still.matches) requestAnimationFrame(paint);
            return;
        }
        const seconds = (performance.now() - began) / 1000;
        end();
        if (!busy && button && !caption.matches(".problem")) caption.append(` · ${seconds.toFixed(1)} seconds`);
    }

    async function draw() {
        if (!form.checkValidity()) return;
        asked = true;
        if (opening) return; // the settings are read when that is done
        again = busy && !button; // what is drawn at once is soon done
        if (again) return;
        if (busy) drop();
        busy = true;
        form.setAttribute("aria-busy", "true");
        caption.classList.remove("problem");
        if (!worker) say("drawing …");
        try {
            opening = true;
            worker ??= await open(form.dataset.model);
        } catch (problem) {
            return broken(problem.message);
        } finally {
            opening = false;
        }
        worker.onmessage = receive;
        worker.onerror = event => broken(event.message || "worker.js cannot be loaded");
        began = performance.now();
        worker.postMessage({ settings: settings(form) });
    }

    form.addEventListener("submit", event => {
        event.preventDefault();
        draw();
    });
    form.addEventListener("input", ({ target }) => {
        showValue(target);
        if ((!button || asked) && target.type !== "text") draw();
    });
    // Arrows move sliders, and letters belong to prompts: the book must not turn its page, nor search.
    form.addEventListener("keydown", event => event.stopPropagation());
    for (const control of form.elements) showValue(control);
    form.hidden = false;
}

document.querySelectorAll("form.live").forEach(setUp);
