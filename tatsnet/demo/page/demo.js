// The page of `tatsnet demo`. A preview follows the hand; the full size follows the preview.

const AXES = ["deblur", "denoise", "dejpeg"];
const PREVIEW = 640;
const REST_MS = 250; // the sliders have come to rest: the sharp preview is asked for
const FULL_MS = 500; // from there on: the full size, which takes the processor from further previews
const KEPT_TIMES = 200;

const at = (id) => document.getElementById(id);
const state = {
  session: "", photo: null, serial: 0, shown: 0, times: [], moving: null, urls: {}, zoom: 1, x: 0, y: 0, wanted: null,
  running: null,
};

function levels() {
  return Object.fromEntries(AXES.map((axis) => [axis, at(axis).value]));
}

function query(extra) {
  return new URLSearchParams({ ...levels(), serial: ++state.serial, ...extra }).toString();
}

async function ask(path, options = {}) {
  const answer = await fetch(`/api/sessions${path}`, options);
  if (!answer.ok && answer.status !== 409) {
    const told = await answer.json().catch(() => ({ message: `the server answered ${answer.status}` }));
    throw new Error(told.message);
  }
  return answer;
}

function tell(error) {
  if (error.name === "AbortError") return;
  at("error").textContent = error instanceof TypeError ? "tatsnet demo does not answer; start it again" : error.message;
  at("error").hidden = false;
}

function calm() {
  at("error").hidden = true;
}

async function show(id, blob) {
  const url = URL.createObjectURL(blob), image = new Image();
  image.src = url;
  await image.decode();
  const old = state.urls[id];
  at(id).src = url;
  state.urls[id] = url;
  if (old) URL.revokeObjectURL(old);
}

// Previews: one under way at a time; what the sliders say when it is done is asked for next.
function preview(size) {
  state.wanted = size;
  state.running ??= previews();
  return state.running;
}

async function previews() {
  try {
    while (state.wanted !== null) {
      const asked = state.wanted, session = state.session, photo = state.photo, started = performance.now();
      state.wanted = null;
      const parameters = query({ size: asked });
      const serial = state.serial, answer = await ask(`/${session}/preview?${parameters}`);
      if (answer.status === 409 || serial < state.shown || photo !== state.photo) continue;
      await show("after", await answer.blob());
      state.shown = serial;
      const size = answer.headers.get("X-Size");
      at("after").dataset.kind = "preview";
      note(performance.now() - started, answer.headers.get("X-Milliseconds"), `preview, ${size} pixels`, asked === "auto");
    }
  } catch (error) {
    tell(error);
  } finally {
    state.running = null;
  }
}

function note(total, network, what, counts) {
  at("effect-time").textContent = `${Math.round(network)} ms (${what})`;
  at("status").textContent = what;
  if (!counts) return;
  state.times.push(total);
  state.times = state.times.slice(-KEPT_TIMES);
  const sorted = [...state.times].sort((a, b) => a - b);
  const rank = (share) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]);
  at("preview-time").textContent = `${rank(0.5)} ms and ${rank(0.95)} ms of ${sorted.length}`;
}

let resting = 0, full = new AbortController();

function changed() {
  for (const axis of AXES) {
    document.querySelector(`output[for=${axis}]`).textContent = Number(at(axis).value).toFixed(2);
  }
  full.abort();
  preview("auto");
  clearTimeout(resting);
  resting = setTimeout(rest, REST_MS);
}

async function rest() {
  full.abort();
  full = new AbortController();
  const { signal } = full, photo = state.photo;
  await preview(PREVIEW);
  await new Promise((done) => setTimeout(done, FULL_MS));
  if (signal.aborted) return;
  try {
    at("status").textContent = "full size is being restored";
    const parameters = query({});
    const serial = state.serial, answer = await ask(`/${state.session}/full?${parameters}`, { signal });
    if (answer.status === 409) return;
    const blob = await answer.blob();
    if (signal.aborted || photo !== state.photo) return;
    await show("after", blob);
    state.shown = serial;
    at("after").dataset.kind = "full";
    note(0, answer.headers.get("X-Milliseconds"), "full size", false);
    const before = await ask(`/${state.session}/before?size=full`, { signal });
    if (at("before").dataset.kind !== "full" && photo === state.photo) {
      await show("before", await before.blob());
      at("before").dataset.kind = "full";
    }
  } catch (error) {
    tell(error);
  }
}

async function take(promise) {
  calm();
  at("status").textContent = "the photo is being read";
  try {
    const found = await (await promise).json();
    state.session = found.session ?? state.session;
    if (found.network) at("about").textContent = `network ${found.network}, ${found.runtime}`;
    state.photo = found;
    at("effects").replaceChildren();
    at("found").textContent = found.notes.join("; ");
    at("before").dataset.kind = "preview";
    document.title = `${found.name} – tatsnet`;
    await show("before", await (await ask(`/${state.session}/before`)).blob());
    fit();
    changed();
  } catch (error) {
    at("status").textContent = "";
    tell(error);
  }
}

function upload(file) {
  const name = encodeURIComponent(file.name);
  take(ask(`/${state.session}/photo?name=${name}`, { method: "PUT", body: file }));
}

function set(values) {
  AXES.forEach((axis, index) => { at(axis).value = values[index]; });
  changed();
}

// The view: a divider, zoom and moving.
function place() {
  const { width, height } = state.photo, pictures = at("pictures");
  pictures.style.width = `${width}px`;
  pictures.style.height = `${height}px`;
  pictures.style.transform = `translate(${state.x}px, ${state.y}px) scale(${state.zoom})`;
  pictures.classList.toggle("large", state.zoom >= 2);
  const share = at("divider").value, view = at("view").clientWidth;
  const cut = Math.min(100, Math.max(0, ((view * share) / 100 - state.x) / (width * state.zoom) * 100));
  at("after").style.clipPath = `inset(0 0 0 ${cut}%)`;
  at("handle").style.left = `${share}%`;
}

function fit() {
  const view = at("view"), { width, height } = state.photo;
  state.zoom = Math.min(view.clientWidth / width, view.clientHeight / height);
  state.x = (view.clientWidth - width * state.zoom) / 2;
  state.y = (view.clientHeight - height * state.zoom) / 2;
  place();
}

function zoom(factor, x = at("view").clientWidth / 2, y = at("view").clientHeight / 2) {
  const to = Math.min(16, Math.max(0.02, state.zoom * factor)), by = to / state.zoom;
  state.x = x - (x - state.x) * by;
  state.y = y - (y - state.y) * by;
  state.zoom = to;
  place();
}

function move(x, y) {
  state.x += x;
  state.y += y;
  place();
}

at("view").addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = at("view").getBoundingClientRect();
  zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });
const fingers = new Map();
at("view").addEventListener("pointerdown", (event) => {
  at("view").setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, event);
});
at("view").addEventListener("pointermove", (event) => {
  const last = fingers.get(event.pointerId);
  if (!last) return;
  if (fingers.size === 1) {
    move(event.clientX - last.clientX, event.clientY - last.clientY);
  } else {
    const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
    const span = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
    const box = at("view").getBoundingClientRect();
    zoom(span(event) / span(last), (event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top);
  }
  fingers.set(event.pointerId, event);
});
for (const kind of ["pointerup", "pointercancel"]) {
  at("view").addEventListener(kind, (event) => fingers.delete(event.pointerId));
}
// The divider's line in the picture: the slider below it, for the hand.
at("handle").addEventListener("pointerdown", (event) => {
  event.stopPropagation();
  at("handle").setPointerCapture(event.pointerId);
});
at("handle").addEventListener("pointermove", (event) => {
  if (!at("handle").hasPointerCapture(event.pointerId)) return;
  const box = at("view").getBoundingClientRect();
  at("divider").value = (100 * (event.clientX - box.left)) / box.width;
  place();
});
const KEYS = {
  "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: fit, 1: () => zoom(1 / state.zoom),
  ArrowLeft: () => move(40, 0), ArrowRight: () => move(-40, 0), ArrowUp: () => move(0, 40), ArrowDown: () => move(0, -40),
};
at("view").addEventListener("keydown", (event) => {
  if (!KEYS[event.key] || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  KEYS[event.key]();
});
at("zoom-in").onclick = () => zoom(1.25);
at("zoom-out").onclick = () => zoom(0.8);
at("fit").onclick = fit;
at("one").onclick = () => zoom(1 / state.zoom);
at("divider").oninput = place;
window.addEventListener("resize", () => state.photo && fit());

// Controls.
for (const axis of AXES) at(axis).oninput = changed;
for (const button of document.querySelectorAll("[data-levels]")) {
  button.onclick = () => set(button.dataset.levels.split(","));
}
at("file").onchange = () => at("file").files[0] && upload(at("file").files[0]);
at("sample").onclick = () => take(ask(`/${state.session}/sample`, { method: "PUT" }));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) upload(event.dataTransfer.files[0]);
  });
}

at("auto").onclick = async () => {
  try {
    const found = await (await ask(`/${state.session}/auto`)).json();
    set(AXES.map((axis) => found.levels[axis].toFixed(2)));
    const quality = found.quality === null ? "no JPEG blocks" : `JPEG quality about ${found.quality}`;
    at("found").textContent =
      `Estimated: blur ${found.blur.toFixed(1)} pixels, noise ${found.noise.toFixed(0)} of 255, ${quality}`;
  } catch (error) {
    tell(error);
  }
};

at("dense").onclick = async () => {
  at("dense-time").textContent = "is being measured";
  try {
    const found = await (await ask(`/${state.session}/dense`)).json();
    at("dense-time").textContent = `${Math.round(found.milliseconds)} ms (${found.width}x${found.height})`;
    rest();
  } catch (error) {
    at("dense-time").textContent = "–";
    tell(error);
  }
};

at("download").onclick = async () => {
  calm();
  const format = at("format").value;
  at("status").textContent = "the file is being made";
  try {
    const answer = await ask(`/${state.session}/download?${query({ format })}`);
    if (answer.status === 409) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = `${state.photo.name.replace(/\.[^.]*$/, "")}-restored.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    at("status").textContent = "downloaded";
  } catch (error) {
    tell(error);
  }
};

at("draw-sheet").onclick = async () => {
  at("effects").replaceChildren();
  const steps = [0, 0.5, 1], photo = state.photo;
  for (const deblur of steps) for (const dejpeg of steps) for (const denoise of steps) {
    const button = document.createElement("button"), image = document.createElement("img");
    const words = `blur ${deblur}, noise ${denoise}, jpeg ${dejpeg}`;
    image.alt = "";
    button.append(image, words);
    button.onclick = () => set([deblur, denoise, dejpeg]);
    at("effects").append(button);
    try {
      const parameters = new URLSearchParams({ deblur, denoise, dejpeg, serial: ++state.serial });
      const answer = await ask(`/${state.session}/detail?${parameters}`);
      if (photo !== state.photo || answer.status === 409) return;
      image.src = URL.createObjectURL(await answer.blob());
      await image.decode();
      URL.revokeObjectURL(image.src);
    } catch (error) {
      tell(error);
      return;
    }
  }
};

window.addEventListener("pagehide", () => navigator.sendBeacon(`/api/sessions/${state.session}/end`));
window.addEventListener("pageshow", (event) => event.persisted && location.reload());
take(ask("", { method: "POST" }));
