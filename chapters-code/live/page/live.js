// The figures that the reader can touch. What they show is drawn by the book's own code, live.wasm, in a worker; here are
// only the controls around it. Nothing is loaded before a figure is first used.

const loaded = new Map();

/** The content of a file beside this one, loaded once. */
function load(name) {
    if (!loaded.has(name)) {
        loaded.set(name, fetch(new URL(name, import.meta.url)).then(answer => {
            if (!answer.ok) throw new Error(`${name} cannot be loaded: ${answer.status} ${answer.statusText}`);
            return answer.arrayBuffer();
        }));
    }
    return loaded.get(name);
}

/** The files of a model, with their paths. */
async function model(name) {
    const paths = new TextDecoder().decode(await load(`${name}.list`)).trim().split("\n");
    return Promise.all(paths.map(async path => [path, await load(path)]));
}

/** A worker that knows the code and the model. */
async function open(name) {
    const [code, files] = await Promise.all([load("live.wasm"), name ? model(name) : []]);
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

function setUp(form) {
    const canvas = document.createElement("canvas");
    const caption = document.createElement("output");
    const still = matchMedia("(prefers-reduced-motion: reduce)");
    canvas.setAttribute("role", "img");
    canvas.hidden = true;
    const place = document.createElement("div");
    place.append(canvas);
    form.append(place, caption);
    let worker, busy = false, turn = 0, newest;

    function say(text, isProblem) {
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
        say(text, false);
    }

    function end() {
        busy = false;
        form.removeAttribute("aria-busy");
        paint();
    }

    function drop() {
        worker?.terminate();
        worker = undefined;
    }

    async function draw() {
        if (!form.checkValidity()) return;
        const mine = ++turn;
        if (busy) drop();
        busy = true;
        caption.classList.remove("problem");
        form.setAttribute("aria-busy", "true");
        try {
            const opened = worker ?? await open(form.dataset.model);
            if (mine !== turn) return opened.terminate(); // something newer was asked for meanwhile
            worker = opened;
            const began = performance.now();
            worker.onmessage = ({ data }) => {
                if (data.pixels) {
                    newest = data;
                    if (!still.matches) requestAnimationFrame(paint);
                } else if (data.problem) {
                    newest = undefined;
                    if (!caption.matches(".problem")) say(data.problem, true); // the first one is the cause
                    if (data.broken) drop();
                } else {
                    const seconds = (performance.now() - began) / 1000;
                    end();
                    if (seconds > 0.1 && !caption.matches(".problem")) caption.append(` · ${seconds.toFixed(1)} seconds`);
                }
            };
            worker.postMessage({ settings: settings(form) });
        } catch (problem) {
            end();
            say(problem.message, true);
        }
    }

    form.addEventListener("submit", event => {
        event.preventDefault();
        draw();
    });
    form.addEventListener("input", ({ target }) => {
        if (target.nextElementSibling instanceof HTMLOutputElement) target.nextElementSibling.value = target.value;
        const asked = !form.querySelector("button") || !canvas.hidden;
        if (asked && target.type !== "text") draw();
    });
    // Arrows move sliders, and letters belong to prompts: the book must not turn its page, nor search.
    form.addEventListener("keydown", event => event.stopPropagation());
    form.hidden = false;
}

document.querySelectorAll("form.live").forEach(setUp);
