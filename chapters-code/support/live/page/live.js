// The interactive figures. The book's own code, live.wasm, draws what they show, in a worker; this file has only
// the controls around it. Nothing is loaded before a figure is first used: until then it shows the page's picture.

// ---- Loading -------------------------------------------------------------------------------------------------------

const loaded = new Map();

/** A file next to this one, fetched only once unless that fails. `progress` gets the number of bytes of each part. */
function load(name, progress = () => { }) {
    if (!loaded.has(name)) {
        const content = download(name, progress);
        content.catch(() => loaded.delete(name));
        loaded.set(name, content);
    }
    return loaded.get(name);
}

async function download(name, progress) {
    const answer = await fetch(new URL(name, import.meta.url)).catch(() => {
        throw new Error(`${name} cannot be loaded: is the server still there?`);
    });
    if (!answer.ok) throw new Error(`${name} cannot be loaded: ${answer.status} ${answer.statusText}`);
    const parts = [];
    for (const reader = answer.body.getReader(); ;) {
        const { done, value } = await reader.read();
        if (done) break;
        parts.push(value);
        progress(value.length);
    }
    return new Blob(parts).arrayBuffer();
}

/** The files that a figure needs, with their sizes in bytes and their paths. */
async function list(name) {
    const lines = new TextDecoder().decode(await load(`${name}.list`)).trim().split("\n");
    return lines.map(line => line.split(" ")).map(([bytes, path]) => ({ bytes: Number(bytes), path }));
}

// ---- The worker ----------------------------------------------------------------------------------------------------

/** The one worker of the page, the models that it holds, and the figures that it serves. */
const worker = { port: undefined, models: new Set(), figures: [] };

/** Starts the worker if there is none, and gives it a model. `progress` gets the number of bytes so far and in all. */
async function prepare(model, progress) {
    if (!("WebAssembly" in globalThis)) throw new Error("this figure needs WebAssembly: enable it, or use another browser");
    const wanted = [...await list("code"), ...model ? await list(model) : []].filter(file => !loaded.has(file.path));
    const total = wanted.reduce((sum, file) => sum + file.bytes, 0);
    let come = 0;
    const count = bytes => progress((come += bytes), total);
    await Promise.all(wanted.map(file => load(file.path, count)));
    if (!worker.port) {
        const code = await WebAssembly.compile(await load("live.wasm"));
        if (!worker.port) start(code);
    }
    if (model && !worker.models.has(model)) {
        worker.models.add(model);
        const files = (await list(model)).map(async ({ path }) => [path, await load(path)]);
        worker.port.postMessage({ files: await Promise.all(files) });
    }
}

function start(code) {
    worker.port = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    worker.port.onmessage = ({ data }) => {
        if (data.broken) stop();
        worker.figures[data.id].receive(data);
    };
    worker.port.onerror = event => {
        stop();
        const problem = event.message || "worker.js cannot be loaded";
        for (const figure of worker.figures) if (figure.busy) figure.receive({ end: true, problem });
    };
    worker.port.postMessage({ code });
}

function stop() {
    worker.port?.terminate();
    worker.port = undefined;
    worker.models.clear();
}

// ---- Small helpers -------------------------------------------------------------------------------------------------

/** An element with these properties and children. */
function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
}

/** Pixels per side of a cat, and of a board. */
const SIDE = 16;

const still = matchMedia("(prefers-reduced-motion: reduce)");
const megabytes = bytes => (bytes / 1e6).toFixed(1);

/** Shows a slider's value next to it; a screen reader reads the value from the slider itself. */
function showValue(control) {
    const output = control.nextElementSibling;
    if (!(output instanceof HTMLOutputElement)) return;
    output.ariaHidden = "true";
    output.value = control.value;
}

// ---- A drawing to click --------------------------------------------------------------------------------------------

/** Lets parts of a drawing set a control ("block=mid_block/0"); a part whose value is already set may set another value. */
function offerParts(form) {
    const parts = [...form.querySelectorAll("[data-set]")];
    const control = part => form.elements[part.dataset.set.split("=")[0]];
    const isSet = part => part.dataset.set === `${control(part).name}=${control(part).value}`;
    const show = () => parts.forEach(part => part.classList.toggle("set", isSet(part)));
    for (const part of parts) {
        part.addEventListener("click", () => {
            const wanted = isSet(part) && part.dataset.else || part.dataset.set;
            control(part).value = wanted.split("=")[1];
            control(part).dispatchEvent(new Event("input", { bubbles: true }));
        });
    }
    form.addEventListener("input", show);
    show();
}

// ---- A picture to point at -----------------------------------------------------------------------------------------

/**
 * Lets two controls (`data-point="column row"`) follow the pointer over the picture. The picture begins with a grid of images,
 * `data-across` in a row, whose pixels are `data-pixel` points wide, with gaps of `data-gap` points between images.
 */
function offerPixels(form, canvas) {
    const { point, pixel, gap, across } = form.dataset;
    const controls = point.split(" ").map(name => form.elements[name]);
    const step = SIDE * pixel + Number(gap);
    canvas.onpointermove = canvas.onpointerdown = event => {
        const at = [event.offsetX, event.offsetY].map(offset => offset * canvas.width / canvas.clientWidth);
        const places = at.map(offset => Math.floor(offset % step / pixel));
        const isSet = controls.every((control, i) => control.valueAsNumber === places[i]);
        if (isSet || at[0] >= across * step || places.some(place => place < 0 || place >= SIDE)) return;
        controls.forEach((control, i) => control.value = places[i]);
        controls.forEach(showValue);
        controls[0].dispatchEvent(new Event("input", { bubbles: true }));
    };
}

// ---- Words to click ------------------------------------------------------------------------------------------------

/** A sentence about a cat: words before the noun, and phrases after it. */
function sentence(words) {
    const of = place => words.filter(word => word.dataset.place === place).map(word => word.textContent);
    const cat = [...of("before"), "cat"].join(" ");
    const parts = [`${/^[aeiou]/.test(cat) ? "an" : "a"} ${cat}`];
    if (of("with").length > 0) parts.push(`with ${of("with").join(" and ")}`);
    return [...parts, ...of("on")].join(" ");
}

/** Lets words that the reader clicks make up the prompt. At most one word of a group is chosen. */
function offerWords(form, changed) {
    const words = [...form.querySelectorAll(".words button")];
    const press = (word, pressed) => word.setAttribute("aria-pressed", pressed);
    for (const word of words) {
        word.type = "button";
        word.addEventListener("click", () => {
            const pressed = word.ariaPressed !== "true";
            for (const other of words) if (other.dataset.group === word.dataset.group) press(other, false);
            press(word, pressed);
            form.elements.prompt.value = sentence(words.filter(word => word.ariaPressed === "true"));
            changed();
        });
    }
    form.elements.prompt?.addEventListener("input", () => words.forEach(word => press(word, false)));
}

// ---- A board to paint on -------------------------------------------------------------------------------------------

/** Points of the canvas per pixel of the board. */
const POINT = 20;

/** Lets the reader paint. The board is kept in two controls: a digit for the colour of each pixel, and a 1 for each that is marked. Without colours the reader can only mark. */
class Board {
    at = 0;
    stroke = undefined;
    chosen = "mark";

    constructor(form, changed) {
        [this.image, this.mask, this.changed] = [form.elements.image, form.elements.mask, changed];
        this.canvas = make("canvas", { width: SIDE * POINT, height: SIDE * POINT, tabIndex: 0 });
        this.canvas.setAttribute("role", "application");
        this.canvas.setAttribute("aria-label", "board: arrows move, the space bar paints");
        const colors = form.elements.colors?.value.split(",") ?? [];
        this.colors = colors.map(color => color.trim().split(" #"));
        const brushes = this.colors.map(([name, code], i) => this.brush(name, i.toString(36), `#${code}`));
        const anew = make("button", { type: "button", textContent: "start over", onclick: () => this.reset() });
        this.brushes = brushes.length > 0 ? [...brushes, this.brush("mark what may change", "mark")] : [];
        form.querySelector(".board").append(this.canvas, make("div", { className: "brushes" }, ...this.brushes, anew));
        if (brushes.length > 0) this.choose(brushes[0]);
        this.canvas.onpointerdown = event => this.begin(this.place(event), event);
        this.canvas.onpointermove = event => this.stroke && this.paint(this.place(event));
        this.canvas.onpointerup = this.canvas.onpointercancel = () => this.end();
        this.canvas.onkeydown = event => this.press(event);
        this.canvas.onfocus = this.canvas.onblur = () => this.show();
        this.show();
    }

    brush(name, digit, color) {
        const button = make("button", { type: "button", title: name, onclick: () => this.choose(button) });
        if (color) button.style.background = color;
        else button.textContent = name;
        button.setAttribute("aria-label", name);
        button.dataset.digit = digit;
        return button;
    }

    choose(brush) {
        this.chosen = brush.dataset.digit;
        for (const other of this.brushes) other.setAttribute("aria-pressed", other === brush);
    }

    /** The number of the pixel under the pointer. */
    place(event) {
        const along = (offset, size) => Math.min(Math.max(Math.floor(offset / size * SIDE), 0), SIDE - 1);
        const { clientWidth, clientHeight } = this.canvas;
        return along(event.offsetY, clientHeight) * SIDE + along(event.offsetX, clientWidth);
    }

    /** A stroke begins. The marking brush removes marks if its stroke begins on one. */
    begin(at, event) {
        if (event) this.canvas.setPointerCapture(event.pointerId);
        const marks = this.chosen === "mark";
        const control = marks ? this.mask : this.image;
        this.stroke = { control, digit: marks ? `${1 - control.value[at]}` : this.chosen };
        this.paint(at);
    }

    paint(at) {
        const { control, digit } = this.stroke;
        control.value = control.value.slice(0, at) + digit + control.value.slice(at + 1);
        this.at = at;
        this.show();
    }

    end() {
        this.stroke = undefined;
        this.changed();
    }

    press(event) {
        const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -SIDE, ArrowDown: SIDE };
        if (event.key === " ") {
            this.begin(this.at);
            this.end();
        } else if (event.key in steps) {
            this.at = (this.at + steps[event.key] + SIDE * SIDE) % (SIDE * SIDE);
            this.show();
        } else return;
        event.preventDefault();
    }

    reset() {
        for (const control of [this.image, this.mask].filter(control => control)) control.value = control.defaultValue;
        this.show();
        this.changed();
    }

    show() {
        const context = this.canvas.getContext("2d");
        context.clearRect(0, 0, SIDE * POINT, SIDE * POINT);
        for (let i = 0; i < SIDE * SIDE; i++) {
            const [x, y] = [i % SIDE * POINT, Math.floor(i / SIDE) * POINT];
            const color = this.colors[parseInt(this.image?.value[i], 36)];
            context.fillStyle = color ? `#${color[1]}` : "transparent";
            context.fillRect(x, y, POINT, POINT);
            if (this.mask.value[i] === "1") this.mark(context, x, y);
            if (i === this.at && document.activeElement === this.canvas) this.frame(context, x, y);
        }
    }

    /** A cross if there is a colour below it. */
    mark(context, x, y) {
        if (!this.image) {
            context.fillStyle = getComputedStyle(this.canvas).color;
            return context.fillRect(x, y, POINT, POINT);
        }
        for (const [color, width] of [["#000", 3], ["#fff", 1]]) {
            Object.assign(context, { strokeStyle: color, lineWidth: width });
            context.beginPath();
            context.moveTo(x + 4, y + 4);
            context.lineTo(x + POINT - 4, y + POINT - 4);
            context.stroke();
        }
    }

    frame(context, x, y) {
        for (const [color, inset] of [["#000", 1], ["#fff", 3]]) {
            Object.assign(context, { strokeStyle: color, lineWidth: 2 });
            context.strokeRect(x + inset, y + inset, POINT - 2 * inset, POINT - 2 * inset);
        }
    }
}

// ---- The film: everything that was drawn ---------------------------------------------------------------------------

/** How many milliseconds a film lasts at speed 1. */
const LENGTH = 4000;
/** In a figure narrower than this, the small pictures under the slider are enlarged by only two, not by three. */
const NARROW = 400;

class Film {
    frames = [];
    at = -1;
    /** Whether the newest picture is shown as it arrives. */
    follows = true;
    timer;

    constructor(place, caption, label) {
        [this.caption, this.label] = [caption, label];
        this.canvas = make("canvas", { hidden: true });
        this.canvas.setAttribute("role", "img");
        this.button = make("button", { type: "button", onclick: () => this.timer ? this.pause() : this.play() });
        this.slider = make("input", { type: "range", min: 0, step: 1, oninput: () => this.scrub() });
        this.slider.setAttribute("aria-label", "time");
        this.speed = make("select", {}, ...["½×", "1×", "2×"].map((text, i) => new Option(text, 0.5 * 2 ** i)));
        this.speed.value = 1;
        this.speed.setAttribute("aria-label", "speed");
        this.strip = make("canvas", { hidden: true, className: "strip", ariaHidden: "true" });
        this.strip.onclick = event => this.jump(event.offsetX / this.strip.clientWidth);
        this.controls = make("div", { className: "time", hidden: true }, this.button, this.slider, this.speed);
        this.first = place.querySelector("picture, img");
        this.progress = make("progress", { hidden: true });
        const stage = make("div", {}, this.canvas, this.progress);
        this.first.after(stage, this.controls, this.strip, caption);
        stage.prepend(this.first);
        this.name();
    }

    name() {
        this.button.textContent = this.timer ? "⏸" : "▶";
        this.button.setAttribute("aria-label", this.timer ? "pause" : "play");
    }

    /** Forgets the pictures; the last one stays in sight until another comes. */
    begin() {
        this.pause();
        [this.frames, this.at, this.follows] = [[], -1, true];
        [this.controls.hidden, this.strip.hidden] = [true, true];
    }

    /** Removes the picture. */
    clear() {
        this.begin();
        this.canvas.hidden = true;
        this.first.hidden = true;
    }

    add(frame) {
        this.frames.push(frame);
        this.slider.max = this.frames.length - 1;
        if (this.follows && (!still.matches || this.frames.length === 1)) this.show(this.frames.length - 1);
    }

    end() {
        if (this.follows) this.show(this.frames.length - 1);
        this.controls.hidden = this.frames.length < 2;
        if (!this.controls.hidden) this.thumbnails();
    }

    show(at) {
        if (!(at in this.frames) || at === this.at) return;
        this.at = at;
        this.slider.value = at;
        cancelAnimationFrame(this.painting);
        this.painting = requestAnimationFrame(() => this.paint());
    }

    paint() {
        const { pixels, width, height, text } = this.frames[this.at];
        this.first.hidden = true;
        [this.canvas.width, this.canvas.height, this.canvas.hidden] = [width, height, false];
        this.canvas.style.setProperty("--width", `${width}px`);
        this.canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
        this.canvas.setAttribute("aria-label", `${this.label}: ${text}`);
        this.slider.setAttribute("aria-valuetext", text);
        this.caption.value = text;
    }

    scrub() {
        this.pause();
        this.follows = false;
        this.show(this.slider.valueAsNumber);
    }

    jump(share) {
        this.slider.value = Math.floor(share * this.frames.length);
        this.scrub();
    }

    play() {
        this.follows = false;
        if (this.at === this.frames.length - 1) this.show(0);
        let before = performance.now(), place = this.at;
        const advance = now => {
            place += (now - before) * this.speed.value * this.frames.length / LENGTH;
            before = now;
            const last = this.frames.length - 1;
            this.show(Math.min(Math.floor(place), last));
            this.timer = place < last ? requestAnimationFrame(advance) : undefined;
            if (!this.timer) this.name();
        };
        this.timer = requestAnimationFrame(advance);
        this.name();
    }

    pause() {
        cancelAnimationFrame(this.timer);
        this.timer = undefined;
        this.name();
    }

    thumbnails() {
        const { width, height, columns } = this.frames[0];
        if (columns === 0) return;
        const part = Math.round(width / columns);
        const room = this.controls.clientWidth;
        const count = Math.min(Math.floor(room / (room < NARROW ? 2 : 3) / part), this.frames.length);
        [this.strip.width, this.strip.height, this.strip.hidden] = [part * count, height, false];
        this.strip.style.setProperty("--width", `${part * count}px`);
        const context = this.strip.getContext("2d");
        for (let i = 0; i < count; i++) {
            const { pixels } = this.frames[Math.round(i * (this.frames.length - 1) / (count - 1))];
            context.putImageData(new ImageData(pixels, width, height), i * part, 0, 0, 0, part, height);
        }
    }
}

// ---- A figure ------------------------------------------------------------------------------------------------------

class Figure {
    busy = false;
    /** Whether the reader has asked for a picture. */
    asked = false;

    constructor(form) {
        this.form = form;
        this.id = worker.figures.push(this) - 1;
        this.button = form.querySelector("button:not(.words *)");
        this.caption = make("output", { className: "caption" });
        this.film = new Film(form, this.caption, form.dataset.label);
        form.setAttribute("aria-label", form.dataset.label);
        form.addEventListener("submit", event => {
            event.preventDefault();
            this.draw();
        });
        form.addEventListener("input", ({ target }) => {
            if (!target.name) return;
            showValue(target);
            if (!this.button || this.asked && target.type !== "text") this.draw();
        });
        // Arrows move sliders, and letters belong to prompts: the book must neither turn the page nor search.
        form.addEventListener("keydown", event => event.stopPropagation());
        this.restore();
        offerWords(form, () => this.draw());
        offerParts(form);
        if (form.dataset.point) offerPixels(form, this.film.canvas);
        if (form.querySelector(".board")) new Board(form, () => this.painted());
        for (const control of form.elements) showValue(control);
        form.classList.add("ready");
    }

    /** Called when the board has changed: selects the option that uses it (`data-then="data=what you mark"`). */
    painted() {
        const [name, value] = this.form.querySelector(".board").dataset.then?.split("=") ?? [];
        if (name) this.form.elements[name].value = value;
        if (!this.button || this.asked) this.draw();
    }

    get controls() {
        return [...this.form.elements].filter(control => control.name);
    }

    /** The values of the controls, as the code reads them. */
    settings() {
        const values = { figure: this.form.dataset.figure };
        for (const control of this.controls) {
            const isNumber = ["number", "range"].includes(control.type);
            values[control.name] = isNumber ? control.valueAsNumber : control.value;
        }
        return JSON.stringify(values);
    }

    key(control) {
        return `${this.form.dataset.figure}.${control.name}`;
    }

    /** Takes the settings from the address of the page, if they are in it. */
    restore() {
        const stored = new URL(location).searchParams;
        for (const control of this.controls) {
            const value = stored.get(this.key(control));
            if (value !== null) control.value = value;
        }
    }

    /** Puts the settings into the address of the page, so that they can be shared. */
    store() {
        const url = new URL(location);
        for (const control of this.controls) {
            const first = control.tagName === "SELECT" ? control.options[0].value : control.defaultValue;
            if (control.value === first) url.searchParams.delete(this.key(control));
            else url.searchParams.set(this.key(control), control.value);
        }
        history.replaceState(history.state, "", url);
    }

    async draw() {
        this.asked = true;
        const wrong = this.controls.find(control => !control.validity.valid);
        if (wrong) return this.complain(`${wrong.name}: ${wrong.validationMessage}`);
        this.store();
        this.caption.classList.remove("problem");
        if (this.opening) return; // the settings are read once everything is loaded
        this.opening = true;
        try {
            await prepare(this.form.dataset.model, (come, total) => this.come(come, total));
        } catch (problem) {
            return this.complain(problem.message);
        } finally {
            this.opening = false;
            this.film.progress.hidden = true;
        }
        this.busy = true;
        this.form.setAttribute("aria-busy", "true");
        this.fresh = true;
        worker.port.postMessage({ id: this.id, settings: this.settings() });
    }

    come(bytes, total) {
        Object.assign(this.film.progress, { hidden: false, max: total, value: bytes });
        this.caption.value = `loading ${megabytes(bytes)} of ${megabytes(total)} MB`;
    }

    complain(problem) {
        this.film.clear();
        this.caption.value = problem;
        this.caption.classList.add("problem");
    }

    receive(message) {
        if (message.pixels) {
            if (this.fresh) this.film.begin();
            this.fresh = false;
            return this.film.add(message);
        }
        if (message.replaced) {
            this.fresh = true;
            return;
        }
        this.busy = false;
        this.form.removeAttribute("aria-busy");
        if (message.problem) this.complain(message.problem);
        else this.film.end();
    }
}

for (const form of document.querySelectorAll("form.live")) new Figure(form);
