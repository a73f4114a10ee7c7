// The page of `tatsnet demo`. What is in view follows the hand; the full size follows that.

const AXES = ["deblur", "denoise", "dejpeg"];
const REST_MS = 200; // the sliders have come to rest: what is in view is asked for at the screen's scale
const FULL_MS = 500; // from there on: the full size, which takes the processor from further previews
const KEPT_TIMES = 200;
const GRID = 8; // what is in view is asked for in eighths, so that a small move of the divider or the picture asks for nothing

const at = (id) => document.getElementById(id);
const state = {
  session: "", photo: null, serial: 0, shown: null, times: [], urls: {}, zoom: 1, x: 0, y: 0, wanted: null, running: null,
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
  at("status").textContent = "";
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

// What is shown at the right of the divider: where it lies in the photo (top, left, bottom, right, from 0 to 1), and
// the longer side that the whole photo would have at its scale.
async function showRestored(blob, shown) {
  await show("after", blob);
  const [top, left, bottom, right] = shown.box, { style, dataset } = at("after");
  const percent = (share) => `${100 * share}%`;
  Object.assign(style, {
    top: percent(top), left: percent(left), height: percent(bottom - top), width: percent(right - left),
  });
  dataset.kind = shown.kind;
  state.shown = shown;
  label();
}

// Says how good the picture is while it is not the full size.
function label() {
  const { shown, photo } = state, badge = at("badge");
  badge.hidden = !shown;
  if (!shown) return;
  const rough = shown.size < Math.min(needed(), longer()) * 0.8;
  badge.classList.toggle("rough", rough);
  badge.textContent = shown.kind === "full" ? `Full size, ${photo.width} × ${photo.height}`
    : rough ? `Quick preview, ${shown.size} pixels`
    : `Preview, ${Math.round((100 * shown.size) / longer())} % of full size`;
}

function longer() {
  return Math.max(state.photo.width, state.photo.height);
}

// The longer side that the whole photo has on the screen, in the screen's own pixels.
function needed() {
  return Math.ceil(longer() * state.zoom * devicePixelRatio);
}

// The part of the photo that is in view at the right of the divider, in its pixels.
function inView() {
  const { width, height } = state.photo, view = at("view");
  const cut = (view.clientWidth * at("divider").value) / 100;
  const bound = (value, most) => Math.min(most, Math.max(0, value));
  const across = (x) => bound((x - state.x) / state.zoom, width), down = (y) => bound((y - state.y) / state.zoom, height);
  return [down(0), across(cut), down(view.clientHeight), across(view.clientWidth)];
}

function box() {
  const [top, left, bottom, right] = inView(), { width, height } = state.photo;
  if (bottom - top < 1 || right - left < 1) return [0, 0, height, width];
  const step = Math.max(1, Math.ceil(at("view").clientWidth / state.zoom / GRID));
  const low = (value) => Math.floor(value / step) * step, high = (value) => Math.ceil(value / step) * step;
  return [low(top), low(left), Math.min(height, high(bottom)), Math.min(width, high(right))];
}

function covered() {
  if (state.shown.kind === "full") return true;
  const { width, height } = state.photo, [top, left, bottom, right] = state.shown.box;
  const [viewTop, viewLeft, viewBottom, viewRight] = inView();
  if (viewBottom - viewTop < 1 || viewRight - viewLeft < 1) return true;
  const inside = top * height <= viewTop + 1 && left * width <= viewLeft + 1
    && bottom * height >= viewBottom - 1 && right * width >= viewRight - 1;
  return inside && state.shown.size >= 0.8 * Math.min(needed(), longer());
}

// Previews: one under way at a time; what the sliders and the view say when it is done is asked for next.
function preview(moving) {
  state.wanted = moving;
  state.running ??= previews();
  return state.running;
}

async function previews() {
  try {
    while (state.wanted !== null) {
      const moving = state.wanted, photo = state.photo, started = performance.now();
      state.wanted = null;
      const parameters = query({ box: box().join(), size: needed(), moving: Number(moving) });
      const serial = state.serial, answer = await ask(`/${state.session}/preview?${parameters}`);
      const blob = await answer.blob();
      if (answer.status === 409 || serial < (state.shown?.serial ?? 0) || photo !== state.photo) continue;
      const { headers } = answer, size = Number(headers.get("X-Size"));
      await showRestored(blob, { serial, size, box: headers.get("X-Box").split(",").map(Number), kind: "preview" });
      note(performance.now() - started, headers.get("X-Milliseconds"), `preview, ${size} pixels`, moving);
    }
  } catch (error) {
    tell(error);
  } finally {
    state.running = null;
  }
}

function note(total, network, what, counts) {
  at("effect-time").textContent = `${Math.round(network)} ms (${what})`;
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
  mark();
  full.abort();
  at("status").textContent = "";
  preview(true);
  clearTimeout(resting);
  resting = setTimeout(rest, REST_MS);
}

// Marks the preset and the effect that the sliders stand at.
function mark() {
  for (const button of document.querySelectorAll("#presets [data-levels], #effects [data-levels]")) {
    const same = button.dataset.levels.split(",").every((level, index) => Number(level) === Number(at(AXES[index]).value));
    button.setAttribute("aria-pressed", same);
  }
}

async function rest() {
  full.abort();
  full = new AbortController();
  const { signal } = full, photo = state.photo;
  await preview(false);
  await new Promise((done) => setTimeout(done, FULL_MS));
  if (signal.aborted) return;
  try {
    at("status").textContent = "Full size is being restored";
    const parameters = query({});
    const serial = state.serial, answer = await ask(`/${state.session}/full?${parameters}`, { signal });
    if (answer.status === 409) return;
    const blob = await answer.blob();
    if (signal.aborted || photo !== state.photo) return;
    await showRestored(blob, { serial, size: longer(), box: [0, 0, 1, 1], kind: "full" });
    at("status").textContent = "Full size is shown";
    note(0, answer.headers.get("X-Milliseconds"), "full size", false);
    if (at("before").dataset.kind === "full") return;
    const before = await ask(`/${state.session}/before?size=full`, { signal });
    if (photo === state.photo) {
      await show("before", await before.blob());
      at("before").dataset.kind = "full";
    }
  } catch (error) {
    tell(error);
  }
}

async function take(promise) {
  calm();
  at("status").textContent = "The photo is being read";
  try {
    const found = await (await promise).json();
    state.session = found.session ?? state.session;
    state.network = found.network ? `network ${found.network}, ${found.runtime}` : state.network;
    const before = await (await ask(`/${state.session}/before`)).blob();
    state.photo = found;
    state.shown = null;
    delete at("after").dataset.kind;
    at("after").removeAttribute("src");
    at("before").dataset.kind = "preview";
    at("effects").replaceChildren();
    at("found").textContent = found.notes.join("; ");
    at("about").textContent = `${found.name}, ${found.width} × ${found.height}, ${state.network}`;
    document.title = `${found.name} – tatsnet`;
    fit();
    await show("before", before);
    changed();
    calm();
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
let looking = 0;

function place() {
  const { width, height } = state.photo, pictures = at("pictures");
  pictures.style.width = `${width}px`;
  pictures.style.height = `${height}px`;
  pictures.style.transform = `translate(${state.x}px, ${state.y}px) scale(${state.zoom})`;
  pictures.classList.toggle("large", state.zoom >= 2);
  const share = at("divider").value, view = at("view").clientWidth;
  const cut = Math.min(100, Math.max(0, ((view * share) / 100 - state.x) / (width * state.zoom) * 100));
  at("cut").style.clipPath = `inset(0 0 0 ${cut}%)`;
  at("handle").style.left = `${share}%`;
  at("scale").textContent = `${Math.round(100 * state.zoom * devicePixelRatio)} %`;
  label();
  clearTimeout(looking);
  looking = setTimeout(() => state.shown && !covered() && preview(false), 60);
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

// One pixel of the photo on one of the screen.
function actual() {
  zoom(1 / devicePixelRatio / state.zoom);
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
  "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: fit, 1: actual,
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
at("one").onclick = actual;
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
      `Estimated: blur ${found.blur.toFixed(1)} pixels, noise ${found.noise.toFixed(0)} of 255, ${quality}.`;
  } catch (error) {
    tell(error);
  }
};

at("dense").onclick = async () => {
  at("dense-time").textContent = "Is being measured";
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
  at("status").textContent = "The file is being made";
  at("download").disabled = true;
  try {
    const answer = await ask(`/${state.session}/download?${query({ format })}`);
    if (answer.status === 409) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = `${state.photo.name.replace(/\.[^.]*$/, "")}-restored.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    at("status").textContent = `${link.download} is downloaded`;
    if (state.shown?.kind !== "full") rest();
  } catch (error) {
    tell(error);
  } finally {
    at("download").disabled = false;
  }
};

at("draw-sheet").onclick = async () => {
  at("effects").replaceChildren();
  const steps = [0, 0.5, 1], photo = state.photo, wanted = [];
  for (const deblur of steps) {
    const group = document.createElement("div"), title = document.createElement("h3"), grid = document.createElement("div");
    title.textContent = `Deblur ${deblur}`;
    group.append(title, grid);
    at("effects").append(group);
    for (const dejpeg of steps) for (const denoise of steps) {
      const button = document.createElement("button"), image = document.createElement("img");
      const words = document.createElement("span");
      words.textContent = `Denoise ${denoise}, JPEG ${dejpeg}`;
      image.alt = "";
      button.setAttribute("aria-label", `Deblur ${deblur}, denoise ${denoise}, remove JPEG blocks ${dejpeg}`);
      button.dataset.levels = [deblur, denoise, dejpeg].join();
      button.append(image, words);
      button.onclick = () => set([deblur, denoise, dejpeg]);
      grid.append(button);
      wanted.push([image, { deblur, denoise, dejpeg }]);
    }
  }
  mark();
  try {
    for (const [image, task] of wanted) {
      const parameters = new URLSearchParams({ ...task, serial: ++state.serial });
      const answer = await ask(`/${state.session}/detail?${parameters}`);
      if (photo !== state.photo || answer.status === 409) return;
      image.src = URL.createObjectURL(await answer.blob());
      await image.decode();
      URL.revokeObjectURL(image.src);
    }
  } catch (error) {
    tell(error);
  }
};

window.addEventListener("pagehide", () => navigator.sendBeacon(`/api/sessions/${state.session}/end`));
window.addEventListener("pageshow", (event) => event.persisted && location.reload());
take(ask("", { method: "POST" }));
