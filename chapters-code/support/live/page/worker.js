// Draws the figures of a page with the book's own code, in its own thread, so that the page need not wait. It draws one
// picture at a time and then listens: a figure whose settings have been replaced in the meantime is not drawn to the end.

let code, ready, problems;

const memory = () => new Uint8Array(code.memory.buffer);
const read = (start, length) => memory().slice(start, start + length);
const text = (start, length) => new TextDecoder().decode(read(start, length));

/** Gives bytes to the code; returns where they are, and how many. */
function give(bytes) {
    const start = code.room(bytes.length);
    memory().set(bytes, start);
    return [start, bytes.length];
}

/** The figure that is being drawn. */
let id;

const page = {
    paint(pixels, width, height, columns, caption, length) {
        const bytes = new Uint8ClampedArray(read(pixels, 4 * width * height).buffer);
        postMessage({ id, pixels: bytes, width, height, columns, text: text(caption, length) }, [bytes.buffer]);
    },
    complain(problem, length) {
        problems.push(text(problem, length));
    },
};

async function open(module) {
    code = (await WebAssembly.instantiate(module, { page })).exports;
    code.begin();
}

function hold(files) {
    for (const [path, content] of files) {
        code.hold(...give(new TextEncoder().encode(path)), ...give(new Uint8Array(content)));
    }
}

/** The settings that are waiting to be drawn, by figure. */
const waiting = new Map();

const channel = new MessageChannel();

/** Lets messages in. (A timer would wait for four milliseconds.) */
const listen = () => new Promise(done => {
    channel.port1.onmessage = done;
    channel.port2.postMessage(undefined);
});

async function drawOne() {
    let settings;
    [[id, settings]] = waiting;
    waiting.delete(id);
    problems = [];
    let broken = false;
    try {
        await ready;
        code.open(...give(new TextEncoder().encode(settings)));
        while (code.advance() && !waiting.has(id)) await listen();
    } catch (problem) {
        broken = true;
        problems.push(`${problem}`);
    }
    const [problem] = problems; // the first one is the cause
    postMessage({ id, end: true, replaced: waiting.has(id), problem, broken });
}

let busy = false;

onmessage = async ({ data }) => {
    if (data.code) ready = open(data.code);
    if (data.files) ready = ready.then(() => hold(data.files));
    if (data.settings) waiting.set(data.id, data.settings);
    if (busy) return;
    busy = true;
    while (waiting.size > 0) await drawOne();
    busy = false;
};
