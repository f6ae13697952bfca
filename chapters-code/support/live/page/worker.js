// Draws one figure with the book's own code, beside the page, so that the page does not wait.

let code;

const memory = () => new Uint8Array(code.memory.buffer);
const read = (start, length) => memory().slice(start, start + length);
const text = (start, length) => new TextDecoder().decode(read(start, length));

/** Gives bytes to the code: where they are, and how many. */
function give(bytes) {
    const start = code.room(bytes.length);
    memory().set(bytes, start);
    return [start, bytes.length];
}

const page = {
    paint(pixels, width, height, caption, length) {
        const bytes = new Uint8ClampedArray(read(pixels, 4 * width * height).buffer);
        postMessage({ pixels: bytes, width, height, text: text(caption, length) }, [bytes.buffer]);
    },
    complain: (problem, length) => postMessage({ problem: text(problem, length) }),
};

async function open(module, files) {
    const instance = await WebAssembly.instantiate(module, { page });
    code = instance.exports;
    code.begin();
    for (const [path, content] of files) {
        code.hold(...give(new TextEncoder().encode(path)), ...give(new Uint8Array(content)));
    }
}

let ready;
onmessage = async ({ data }) => {
    if (data.code) {
        ready = open(data.code, data.files);
        return;
    }
    try {
        await ready;
        code.draw(...give(new TextEncoder().encode(data.settings)));
    } catch (problem) {
        postMessage({ problem: `${problem}`, broken: true });
    }
    postMessage({});
};
