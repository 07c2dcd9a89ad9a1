// built by `make page` from web/report, sha256 32ebfc7de3085174adfa6b242fe6722b5eee0a96ca5695d919a2f4e7455ea5c7
"use strict";
var onlygood = (() => {
  var __defProp = Object.defineProperty;
  var __getOwnPropDesc = Object.getOwnPropertyDescriptor;
  var __getOwnPropNames = Object.getOwnPropertyNames;
  var __hasOwnProp = Object.prototype.hasOwnProperty;
  var __defNormalProp = (obj, key2, value) => key2 in obj ? __defProp(obj, key2, { enumerable: true, configurable: true, writable: true, value }) : obj[key2] = value;
  var __export = (target, all) => {
    for (var name in all)
      __defProp(target, name, { get: all[name], enumerable: true });
  };
  var __copyProps = (to, from, except, desc) => {
    if (from && typeof from === "object" || typeof from === "function") {
      for (let key2 of __getOwnPropNames(from))
        if (!__hasOwnProp.call(to, key2) && key2 !== except)
          __defProp(to, key2, { get: () => from[key2], enumerable: !(desc = __getOwnPropDesc(from, key2)) || desc.enumerable });
    }
    return to;
  };
  var __toCommonJS = (mod) => __copyProps(__defProp({}, "__esModule", { value: true }), mod);
  var __publicField = (obj, key2, value) => __defNormalProp(obj, typeof key2 !== "symbol" ? key2 + "" : key2, value);

  // report/main.ts
  var main_exports = {};
  __export(main_exports, {
    stats: () => stats_exports
  });

  // report/data.ts
  function block(id) {
    return JSON.parse(document.getElementById(id).textContent);
  }
  var data = block("data");
  var pictures = block("pictures");
  var columns = data.images;
  var images = columns.name.map((name, index) => {
    const kind = columns.defect[index];
    return {
      index,
      name,
      folder: columns.folder[index],
      score: columns.score[index],
      status: columns.status[index],
      label: columns.label[index],
      defect: kind == null ? "" : data.defects[kind],
      seen: columns.seen[index] === 1,
      copies: columns.copies[index],
      width: columns.width[index] ?? 1,
      height: columns.height[index] ?? 1,
      error: columns.error[index] ?? "",
      notes: columns.notes[index] ?? []
    };
  });
  var counted = images.filter((image) => image.score !== null && !image.seen);
  var labeled = counted.filter((image) => image.label !== null);
  function folderName(image) {
    return data.folders[image.folder].name;
  }
  function encodedName(image) {
    return columns.raw[image.index] ?? encodeURIComponent(image.name);
  }
  function link(image) {
    const folder = data.folders[image.folder].link;
    return folder === null ? null : folder + encodedName(image);
  }
  function pathBytes(image) {
    const encoded = data.folders[image.folder].path + encodedName(image);
    const bytes = [];
    for (let at = 0; at < encoded.length; at++) {
      if (encoded[at] === "%") {
        bytes.push(parseInt(encoded.slice(at + 1, at + 3), 16));
        at += 2;
      } else {
        bytes.push(encoded.charCodeAt(at));
      }
    }
    return Uint8Array.from(bytes);
  }

  // report/dom.ts
  var SVG = "http://www.w3.org/2000/svg";
  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (value == null || value === false) continue;
      if (typeof value === "function") element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : String(value));
    }
    for (const child of children) if (child != null && child !== false) element.append(child);
  }
  function el(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    fill(element, attributes, children);
    return element;
  }
  function svg(tag, attributes = {}, ...children) {
    const element = document.createElementNS(SVG, tag);
    fill(element, attributes, children);
    return element;
  }
  function byId(id) {
    return document.getElementById(id);
  }
  function whenWide(element, draw2) {
    let last2 = 0;
    new ResizeObserver(() => {
      const width2 = Math.floor(element.clientWidth);
      if (width2 > 0 && width2 !== last2) {
        last2 = width2;
        draw2(width2);
      }
    }).observe(element);
  }
  function ticks(low, high, count2) {
    const rough = (high - low) / Math.max(1, count2);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
    const found = [];
    for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9; i++) found.push(i * step);
    return found;
  }

  // report/stats.ts
  var stats_exports = {};
  __export(stats_exports, {
    Ranks: () => Ranks,
    curve: () => curve,
    interval: () => interval,
    percent: () => percent,
    short: () => short
  });
  var Ranks = class {
    constructor({ scores: scores2, weights }) {
      __publicField(this, "scores");
      // ascending
      /** What each of them and those above it count; one more than there are scores, the last 0. */
      __publicField(this, "beyond");
      const sums = new Array(scores2.length + 1).fill(0);
      for (let i = scores2.length - 1; i >= 0; i--) sums[i] = sums[i + 1] + (weights ? weights[i] : 1);
      this.scores = scores2;
      this.beyond = sums.map((sum) => Math.round(sum * 1e9) / 1e9);
    }
    /** The conformal p-value of a score. */
    pValue(score) {
      return (1 + this.beyond[position(this.scores, score, false)]) / (1 + this.beyond[0]);
    }
    /** The rate of false alarms that is promised where scores above the threshold are flagged. */
    promised(threshold) {
      return (1 + this.beyond[position(this.scores, threshold, true)]) / (1 + this.beyond[0]);
    }
  };
  function position(values, value, orAt) {
    let low = 0;
    let high = values.length;
    while (low < high) {
      const middle = low + high >> 1;
      if (values[middle] < value || orAt && values[middle] === value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
  function interval(hits, total) {
    return [
      hits === 0 ? 0 : betaQuantile(hits, total, 0.025),
      hits === total ? 1 : betaQuantile(hits + 1, total, 0.975)
    ];
  }
  function betaQuantile(k, n, probability) {
    const logFactorial = [0];
    for (let i = 1; i <= n; i++) logFactorial.push(logFactorial[i - 1] + Math.log(i));
    let low = 0;
    let high = 1;
    for (let step = 0; step < 40; step++) {
      const x = (low + high) / 2;
      let sum = 0;
      for (let j = k; j <= n; j++) {
        const choose = logFactorial[n] - logFactorial[j] - logFactorial[n - j];
        sum += Math.exp(choose + j * Math.log(x) + (n - j) * Math.log1p(-x));
      }
      if (sum < probability) low = x;
      else high = x;
    }
    return (low + high) / 2;
  }
  function curve(good, bad) {
    const all = [...good.map((score) => ({ score, bad: 0 })), ...bad.map((score) => ({ score, bad: 1 }))];
    all.sort((a, b) => b.score - a.score);
    const points = [{ threshold: Infinity, falseRate: 0, detected: 0, precision: 1 }];
    let alarms = 0;
    let hits = 0;
    all.forEach((one2, i) => {
      hits += one2.bad;
      alarms += 1 - one2.bad;
      if (i + 1 < all.length && all[i + 1].score === one2.score) return;
      points.push({
        threshold: one2.score,
        falseRate: alarms / good.length,
        detected: hits / bad.length,
        precision: hits / (hits + alarms)
      });
    });
    return points;
  }
  function short(value) {
    return Math.abs(value) >= 1e5 || value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  }
  function percent(share) {
    const value = 100 * share;
    return `${value === 0 || value >= 9.95 ? value.toFixed(0) : value.toPrecision(2)}\xA0%`;
  }

  // report/state.ts
  var listeners = { threshold: [], marks: [], view: [] };
  var state = {
    threshold: data.threshold,
    marks: /* @__PURE__ */ new Map(),
    heat: true
  };
  var ranks = new Ranks(data.calibration);
  function on(topic, listener) {
    listeners[topic].push(listener);
  }
  function tell(topic) {
    for (const listener of listeners[topic]) listener();
  }
  function status(image) {
    if (image.status === "error" || image.status === "unusable") return image.status;
    return image.score > state.threshold ? "anomalous" : "normal";
  }
  var waiting = false;
  function setThreshold(value) {
    if (!Number.isFinite(value) || value === state.threshold) return;
    state.threshold = value;
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      tell("threshold");
    });
  }
  function showHeat(shown2) {
    state.heat = shown2;
    tell("view");
  }
  var key = `onlygood ${data.model.sha256} ${data.made} ${images.length}`;
  function mark(image, wanted) {
    if (state.marks.get(image.index) === wanted) state.marks.delete(image.index);
    else state.marks.set(image.index, wanted);
    save();
    tell("marks");
  }
  function clearMarks() {
    state.marks.clear();
    save();
    tell("marks");
  }
  function save() {
    try {
      localStorage.setItem(key, JSON.stringify([...state.marks]));
    } catch {
    }
  }
  try {
    const kept = JSON.parse(localStorage.getItem(key) ?? "[]");
    for (const [index, value] of kept) if (images[index]) state.marks.set(index, value);
  } catch {
  }

  // report/curves.ts
  var MARGIN = { left: 46, right: 12, top: 10, bottom: 40 };
  function curves() {
    const measures2 = data.measures;
    if (!measures2) return;
    const of = (label) => labeled.filter((image) => image.label === label).map((image) => image.score);
    const points = curve(measures2.against === "images" ? of(0) : data.calibration.scores, of(1));
    one("roc", points, measures2.roc_band, {
      x: (point) => point.falseRate,
      y: (point) => point.detected,
      across: "good images flagged",
      up: "anomalous images flagged"
    });
    one("precision", points.slice(1), measures2.precision_band, {
      x: (point) => point.detected,
      y: (point) => point.precision,
      across: "anomalous images flagged (recall)",
      up: "flagged ones that are anomalous (precision)"
    });
  }
  function current(points) {
    let found;
    for (const point of points) if (point.threshold > state.threshold) found = point;
    return found;
  }
  function one(id, points, band, axes) {
    const holder = byId(id);
    const dot = svg("circle", { class: "here", r: 6 });
    let place2 = () => {
    };
    whenWide(holder, (wide) => {
      const height = Math.min(wide, 380);
      const x = (share) => MARGIN.left + share * (wide - MARGIN.left - MARGIN.right);
      const y = (share) => height - MARGIN.bottom - share * (height - MARGIN.bottom - MARGIN.top);
      const chart = svg("svg", { width: wide, height, class: "chart", role: "img" });
      chart.setAttribute("aria-label", `${axes.up} over ${axes.across}; the table says the numbers`);
      for (const share of [0, 0.25, 0.5, 0.75, 1]) {
        chart.append(
          svg("line", { class: "grid", x1: x(0), x2: x(1), y1: y(share), y2: y(share) }),
          svg("text", { x: x(0) - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share)),
          svg("text", { x: x(share), y: y(0) + 17, "text-anchor": share === 1 ? "end" : "middle" }, percent(share))
        );
      }
      const at = (i) => x(i / (band[0].length - 1)).toFixed(1);
      const lower = band[0].map((share, i) => `${at(i)},${y(share).toFixed(1)}`);
      const upper = band[1].map((share, i) => `${at(i)},${y(share).toFixed(1)}`);
      const line = points.map((point) => `${x(axes.x(point)).toFixed(1)},${y(axes.y(point)).toFixed(1)}`);
      chart.append(
        svg("polygon", { class: "band", points: [...lower, ...upper.reverse()].join(" ") }),
        svg("polyline", { class: "curve", points: line.join(" ") }),
        svg("text", { x: (x(0) + x(1)) / 2, y: height - 4, "text-anchor": "middle", class: "title" }, axes.across),
        dot
      );
      holder.replaceChildren(chart);
      place2 = () => {
        const point = current(points);
        dot.setAttribute("visibility", point ? "visible" : "hidden");
        if (!point) return;
        dot.setAttribute("cx", x(axes.x(point)).toFixed(1));
        dot.setAttribute("cy", y(axes.y(point)).toFixed(1));
      };
      place2();
    });
    on("threshold", () => place2());
  }

  // report/filter.ts
  var CHOICES = {
    all: { name: "all", test: () => true },
    anomalous: { name: "anomalous", test: (image) => status(image) === "anomalous" },
    normal: { name: "normal", test: (image) => status(image) === "normal" },
    missed: {
      name: "missed: labeled anomalous, not flagged",
      test: (image) => image.label === 1 && status(image) === "normal"
    },
    alarms: {
      name: "false alarms: labeled good, flagged",
      test: (image) => image.label === 0 && status(image) === "anomalous"
    },
    unusable: { name: "unusable", test: (image) => image.status === "unusable" },
    error: { name: "unreadable", test: (image) => image.status === "error" },
    copies: { name: "the same as another", test: (image) => image.copies !== null },
    seen: { name: "known to the model", test: (image) => image.seen },
    marked: { name: "marked by you", test: (image) => state.marks.has(image.index) },
    bare: { name: "without a picture", test: (image) => !pictures[image.index] }
  };
  var last = (image) => image.score ?? -Infinity;
  var ORDERS = {
    highest: (a, b) => last(b) - last(a),
    lowest: (a, b) => (a.score ?? Infinity) - (b.score ?? Infinity),
    nearest: (a, b) => Math.abs(last(a) - state.threshold) - Math.abs(last(b) - state.threshold),
    name: (a, b) => a.folder - b.folder || (a.name < b.name ? -1 : Number(a.name > b.name))
  };
  var inputs = () => ({
    status: byId("filter-status"),
    folder: byId("filter-folder"),
    defect: byId("filter-defect"),
    text: byId("filter-text"),
    order: byId("order")
  });
  function filters(changed) {
    const { status: kind, folder, defect, text, order } = inputs();
    for (const [value, choice] of Object.entries(CHOICES)) {
      const always = ["all", "anomalous", "normal", "marked"].includes(value);
      const possible = value === "missed" || value === "alarms" ? data.defects.length > 0 : images.some(choice.test);
      if (always || possible) kind.append(el("option", { value }, choice.name));
    }
    data.folders.forEach((one2, index) => folder.append(el("option", { value: index }, one2.name)));
    folder.closest("label").hidden = data.folders.length < 2;
    if (images.some((image) => image.label === 0)) defect.append(el("option", { value: "good" }, "called good"));
    data.defects.forEach((name, index) => defect.append(el("option", { value: index }, name)));
    defect.closest("label").hidden = defect.options.length < 2;
    for (const input of [kind, folder, defect, order]) input.addEventListener("change", changed);
    text.addEventListener("input", changed);
  }
  function chosen() {
    const { status: kind, folder, defect, text, order } = inputs();
    const words = text.value.trim().toLowerCase();
    const test = CHOICES[kind.value].test;
    const found = images.filter(
      (image) => test(image) && (folder.value === "" || image.folder === Number(folder.value)) && (defect.value === "" || (defect.value === "good" ? image.label === 0 : image.defect === data.defects[Number(defect.value)])) && (words === "" || `${folderName(image)}/${image.name}`.toLowerCase().includes(words))
    );
    return found.sort(ORDERS[order.value]);
  }
  function followsThreshold() {
    const { status: kind, order } = inputs();
    return ["anomalous", "normal", "missed", "alarms"].includes(kind.value) || order.value === "nearest";
  }

  // report/heat.ts
  var INFERNO = [
    [0, 0, 4],
    [87, 16, 110],
    [188, 55, 84],
    [249, 142, 9],
    [252, 255, 164]
  ];
  var COLORS = Uint8ClampedArray.from(
    Array.from({ length: 256 }, (_, level) => {
      const strength2 = level / 255;
      const at = (0.3 + 0.65 * strength2) * (INFERNO.length - 1);
      const below = Math.min(Math.floor(at), INFERNO.length - 2);
      const color = [0, 1, 2].map(
        (c) => INFERNO[below][c] + (INFERNO[below + 1][c] - INFERNO[below][c]) * (at - below)
      );
      return [...color, 255 * Math.min(2 * strength2, 1) * (0.35 + 0.4 * strength2)];
    }).flat()
  );
  function heatmap(source, box = [0, 0, 1, 1]) {
    const canvas = el("canvas", { class: "heat", "aria-hidden": "true", width: 1, height: 1 });
    const [left, upper, right, lower] = box;
    canvas.style.left = `${100 * left}%`;
    canvas.style.top = `${100 * upper}%`;
    canvas.style.width = `${100 * (right - left)}%`;
    canvas.style.height = `${100 * (lower - upper)}%`;
    const gray = new Image();
    gray.onload = () => {
      canvas.width = gray.naturalWidth;
      canvas.height = gray.naturalHeight;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(gray, 0, 0);
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
      for (let i = 0; i < pixels.data.length; i += 4) {
        pixels.data.set(COLORS.subarray(4 * pixels.data[i], 4 * pixels.data[i] + 4), i);
      }
      context.putImageData(pixels, 0, 0);
      canvas.dataset.drawn = "true";
    };
    gray.src = source;
    return canvas;
  }

  // report/viewer.ts
  var MOST = 12;
  var list = [];
  var place = 0;
  var closed = () => {
  };
  var zoom = 1;
  var shift = { x: 0, y: 0 };
  var pointers = /* @__PURE__ */ new Map();
  var dialog = () => byId("viewer");
  var stage = () => byId("stage");
  function openViewer(images2, at, then) {
    [list, place, closed] = [images2, at, then];
    paint();
    dialog().showModal();
    stage().focus();
  }
  function viewer() {
    const box = dialog();
    const click = (id, act) => byId(id).addEventListener("click", act);
    click("close", () => box.close());
    click("before", () => go(-1));
    click("after", () => go(1));
    click("zoom-in", () => zoomBy(1.5));
    click("zoom-out", () => zoomBy(1 / 1.5));
    click("zoom-fit", fit);
    click("viewer-heat", () => showHeat(!state.heat));
    click("set-threshold", () => setThreshold(list[place].score));
    byId("heat-strength").addEventListener("input", strength);
    box.addEventListener("close", () => closed(place));
    box.addEventListener("keydown", keys);
    for (const topic of ["threshold", "marks", "view"]) {
      on(topic, () => box.open && paint(true));
    }
    const view = stage();
    view.addEventListener("wheel", wheel, { passive: false });
    view.addEventListener("dblclick", (event) => zoom > 1 ? fit() : zoomBy(3, event.clientX, event.clientY));
    view.addEventListener("pointerdown", (event) => {
      view.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    view.addEventListener("pointermove", drag);
    for (const end of ["pointerup", "pointercancel"]) {
      view.addEventListener(end, (event) => pointers.delete(event.pointerId));
    }
  }
  function go(step) {
    const next = place + step;
    if (next < 0 || next >= list.length) return;
    place = next;
    paint();
  }
  function paint(again = false) {
    const image = list[place];
    const active = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.mark : void 0;
    const now = status(image);
    const picture = frame(image);
    stage().replaceChildren(picture);
    if (!again) fit();
    else move();
    strength();
    byId("viewer-name").textContent = image.name;
    byId("viewer-place").textContent = `${place + 1} of ${list.length}`;
    byId("before").disabled = place === 0;
    byId("after").disabled = place === list.length - 1;
    byId("viewer-heat").setAttribute("aria-pressed", String(state.heat));
    byId("set-threshold").disabled = image.score === null;
    const score = image.score;
    const facts = [
      ["Verdict", `${WORD[now]}${image.seen ? " (known to the model: says nothing of new images)" : ""}`],
      ["Reason", image.error],
      ["Score", score === null ? "" : `${short(score)}; the threshold is ${short(state.threshold)}`],
      ["p-value", score === null ? "" : pWords(ranks.pValue(score))],
      ["Called", image.label === null ? "" : image.label ? image.defect : "good"],
      ["Size", image.score === null ? "" : `${image.width} \xD7 ${image.height} pixels`],
      ["Noted", image.notes.join("; ")],
      ["Folder", folderName(image)]
    ];
    const address = link(image);
    byId("viewer-facts").replaceChildren(
      ...facts.filter(([, words]) => words).flatMap(([name, words]) => [el("dt", {}, name), el("dd", {}, words)])
    );
    byId("viewer-links").replaceChildren(
      ...address === null ? [] : [el("a", { href: address, target: "_blank", rel: "noopener" }, "Open the file itself")]
    );
    const buttons = ["good", "bad"].map((value) => markButton(image, value, MARKS[value]));
    for (const button of buttons) button.removeAttribute("tabindex");
    byId("viewer-marks").replaceChildren(...buttons);
    if (active) buttons.find((button) => button.dataset.mark === active)?.focus();
  }
  function pWords(p) {
    return `${short(p)}: about ${short(100 * p)} in 100 good images score as high`;
  }
  function fit() {
    zoom = 1;
    shift = { x: 0, y: 0 };
    move();
  }
  function zoomBy(factor, x, y) {
    const box = stage().getBoundingClientRect();
    const next = Math.min(MOST, Math.max(1, zoom * factor));
    const from = { x: (x ?? box.left + box.width / 2) - box.left - box.width / 2, y: (y ?? box.top + box.height / 2) - box.top - box.height / 2 };
    shift = { x: from.x - (from.x - shift.x) * next / zoom, y: from.y - (from.y - shift.y) * next / zoom };
    zoom = next;
    move();
  }
  function move() {
    const box = stage().getBoundingClientRect();
    const room = { x: box.width * (zoom - 1) / 2, y: box.height * (zoom - 1) / 2 };
    shift.x = Math.min(room.x, Math.max(-room.x, shift.x));
    shift.y = Math.min(room.y, Math.max(-room.y, shift.y));
    const picture = stage().firstElementChild;
    if (picture) picture.style.transform = `translate(${shift.x}px, ${shift.y}px) scale(${zoom})`;
    byId("zoom").textContent = `${zoom.toFixed(1)} \xD7`;
  }
  function wheel(event) {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
  }
  function drag(event) {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
      zoomBy(apart(now) / apart(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else {
      shift = { x: shift.x + now.x - before.x, y: shift.y + now.y - before.y };
      move();
    }
    pointers.set(event.pointerId, now);
  }
  function strength() {
    const value = byId("heat-strength").valueAsNumber;
    const heat = stage().querySelector(".heat");
    if (heat) heat.style.opacity = String(value / 100);
    byId("heat-strength").disabled = !state.heat || !pictures[list[place].index];
  }
  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof HTMLInputElement && event.key.startsWith("Arrow")) return;
    const image = list[place];
    const acts = {
      ArrowLeft: () => go(-1),
      ArrowRight: () => go(1),
      "+": () => zoomBy(1.5),
      "=": () => zoomBy(1.5),
      "-": () => zoomBy(1 / 1.5),
      "0": fit,
      h: () => showHeat(!state.heat),
      f: () => mark(image, "good"),
      b: () => mark(image, "bad")
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  // report/gallery.ts
  var GAP = 12;
  var LEAST = 150;
  var WORDS = 92;
  var AHEAD = 2;
  var PRINTED = 48;
  var WORD = {
    anomalous: "anomalous",
    normal: "normal",
    unusable: "unusable",
    error: "unreadable"
  };
  var shown = [];
  var cards = /* @__PURE__ */ new Map();
  var columns2 = 1;
  var rowHeight = 1;
  var focused = 0;
  var printing = false;
  function gallery() {
    const grid = byId("grid");
    filters(refilter);
    on("threshold", () => followsThreshold() ? refilter() : repaint());
    on("marks", repaint);
    on("view", repaint);
    const heat = byId("show-heat");
    heat.addEventListener("change", () => showHeat(heat.checked));
    on("view", () => heat.checked = state.heat);
    new ResizeObserver(layout).observe(grid);
    window.addEventListener("scroll", () => render(), { passive: true });
    window.addEventListener("resize", () => render());
    grid.addEventListener("keydown", keys2);
    window.addEventListener("beforeprint", () => print(true));
    window.addEventListener("afterprint", () => print(false));
    const bare = images.filter((image) => image.score !== null && !pictures[image.index]).length;
    byId("bare").hidden = bare === 0;
    byId("bare").textContent = `${bare.toLocaleString("en")} of ${images.length.toLocaleString("en")} images have no picture here, so that this file stays small: those with the lowest scores that nobody calls anomalous come first. The filter \u201Cwithout a picture\u201D lists them.`;
    refilter();
  }
  function refilter() {
    shown = chosen();
    focused = Math.min(focused, Math.max(0, shown.length - 1));
    byId("count").textContent = `${shown.length.toLocaleString("en")} of ${images.length.toLocaleString("en")} images`;
    byId("nothing").hidden = shown.length > 0;
    layout();
  }
  function layout() {
    const grid = byId("grid");
    const wide = grid.clientWidth;
    columns2 = Math.max(wide < 360 ? 1 : 2, Math.floor((wide + GAP) / (LEAST + GAP + (wide > 900 ? 40 : 0))));
    const card = (wide - GAP * (columns2 - 1)) / columns2;
    rowHeight = Math.round(card + WORDS + GAP);
    const rows = Math.ceil((printing ? Math.min(PRINTED, shown.length) : shown.length) / columns2);
    grid.style.height = `${Math.max(0, rows * rowHeight - GAP)}px`;
    grid.style.setProperty("--card", `${card}px`);
    repaint();
  }
  function repaint() {
    const active = document.activeElement;
    const had = active instanceof HTMLElement && byId("grid").contains(active) && !active.matches("[data-mark]");
    for (const card of cards.values()) card.remove();
    cards = /* @__PURE__ */ new Map();
    render();
    if (had) cards.get(focused)?.querySelector("button")?.focus({ preventScroll: true });
  }
  function render() {
    const grid = byId("grid");
    const top = -grid.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / rowHeight) - AHEAD) * columns2;
    const end = Math.min(shown.length, (Math.ceil((top + window.innerHeight) / rowHeight) + AHEAD) * columns2);
    const wanted = /* @__PURE__ */ new Set();
    const [from, to] = printing ? [0, Math.min(PRINTED, shown.length)] : [first, end];
    for (let place2 = from; place2 < to; place2++) wanted.add(place2);
    if (shown.length) wanted.add(focused);
    for (const [place2, card] of cards) {
      if (!wanted.has(place2)) {
        card.remove();
        cards.delete(place2);
      }
    }
    for (const place2 of [...wanted].sort((a, b) => a - b)) {
      if (cards.has(place2)) continue;
      const card = draw(place2);
      cards.set(place2, card);
      grid.append(card);
    }
  }
  function draw(place2) {
    const image = shown[place2];
    const now = status(image);
    const score = image.score === null ? "no score" : `score ${short(image.score)}`;
    const kind = image.label === null ? "" : image.label ? image.defect : "good";
    const p = image.score === null ? "" : `, p ${short(ranks.pValue(image.score))}`;
    const open = el(
      "button",
      {
        type: "button",
        class: "look",
        tabindex: place2 === focused ? 0 : -1,
        "aria-label": `${image.name}: ${WORD[now]}, ${score}${kind && `, called ${kind}`}; look closer`,
        onclick: () => {
          focus(place2, false);
          openViewer(shown, place2, (at) => focus(at, true));
        }
      },
      frame(image)
    );
    const card = el(
      "div",
      {
        class: `card ${now}${image.seen ? " seen" : ""}`,
        role: "listitem",
        "aria-setsize": shown.length,
        "aria-posinset": place2 + 1,
        "data-index": image.index
      },
      open,
      el("p", { class: "verdict" }, el("strong", {}, WORD[now]), kind && el("span", { class: "kind", title: kind }, kind)),
      el("p", { class: "number" }, image.seen ? "known to the model" : score + p),
      el("p", { class: "name", title: `${folderName(image)}/${image.name}` }, image.name),
      el("div", { class: "marks" }, markButton(image, "good"), markButton(image, "bad"))
    );
    card.style.left = `calc(${place2 % columns2} * (var(--card) + ${GAP}px))`;
    card.style.top = `${Math.floor(place2 / columns2) * rowHeight}px`;
    return card;
  }
  var MARKS = { good: "Actually fine", bad: "Really bad" };
  var SHORT = { good: "\u2713 fine", bad: "\u2717 bad" };
  function markButton(image, value, words = SHORT[value]) {
    return el(
      "button",
      {
        type: "button",
        "data-mark": value,
        "aria-pressed": String(state.marks.get(image.index) === value),
        tabindex: -1,
        title: MARKS[value],
        "aria-label": `${words}, ${MARKS[value]}: ${image.name}`,
        onclick: () => mark(image, value)
      },
      words
    );
  }
  function frame(image) {
    const picture = pictures[image.index];
    if (!picture) return el("span", { class: "frame empty" }, image.error ? "cannot be shown" : "no picture here");
    const [source, heat, box] = picture;
    const holder = el("span", { class: "frame" }, el("img", { src: source, alt: "", draggable: "false" }));
    if (state.heat) holder.append(heatmap(heat, box));
    const ratio = image.width / image.height;
    holder.style.aspectRatio = String(ratio);
    holder.style.setProperty("--ratio", String(ratio));
    holder.classList.add(ratio >= 1 ? "wide" : "tall");
    return holder;
  }
  function focus(place2, scroll) {
    const before = cards.get(focused)?.querySelector("button");
    before?.setAttribute("tabindex", "-1");
    focused = place2;
    if (scroll) {
      const grid = byId("grid").getBoundingClientRect();
      const top = grid.top + Math.floor(place2 / columns2) * rowHeight;
      const bar = byId("toolbar").offsetHeight;
      if (top < bar) window.scrollBy(0, top - bar - GAP);
      else if (top + rowHeight > window.innerHeight) window.scrollBy(0, top + rowHeight - window.innerHeight + GAP);
    }
    render();
    const button = cards.get(place2)?.querySelector("button");
    button?.setAttribute("tabindex", "0");
    button?.focus({ preventScroll: true });
  }
  function keys2(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !shown.length) return;
    const page = columns2 * Math.max(1, Math.floor(window.innerHeight / rowHeight) - 1);
    const moves = {
      ArrowLeft: focused - 1,
      ArrowRight: focused + 1,
      ArrowUp: focused - columns2,
      ArrowDown: focused + columns2,
      PageUp: focused - page,
      PageDown: focused + page,
      Home: 0,
      End: shown.length - 1
    };
    const next = moves[event.key];
    if (next !== void 0) {
      event.preventDefault();
      if (next < 0 && focused < columns2) return;
      focus(Math.min(shown.length - 1, Math.max(0, next)), true);
    } else if (event.key === "f" || event.key === "b") {
      event.preventDefault();
      mark(shown[focused], event.key === "f" ? "good" : "bad");
    }
  }
  function print(on2) {
    printing = on2;
    byId("printed").hidden = !on2 || shown.length <= PRINTED;
    byId("printed").textContent = `The first ${PRINTED} of ${shown.length} images are printed.`;
    layout();
  }

  // report/histogram.ts
  var HEIGHT = 240;
  var MARGIN2 = { left: 44, right: 16, top: 26, bottom: 40 };
  var calibration = data.calibration.scores;
  var kinds = [
    { name: "new, labeled good", class: "good", values: scores(0) },
    { name: "new, labeled anomalous", class: "bad", values: scores(1) },
    { name: "new, without label", class: "plain", values: scores(null) }
  ].filter((kind) => kind.values.length > 0);
  function scores(label) {
    return counted.filter((image) => image.label === label).map((image) => image.score);
  }
  function ends(values) {
    let low = Infinity;
    let high = -Infinity;
    for (const value of values) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    return [low, high];
  }
  var [lowest, highest] = ends([...calibration, ...counted.map((image) => image.score), data.threshold]);
  var [calm, loud] = ends([...calibration, data.threshold]);
  var width = loud - calm || 1;
  var near = [Math.max(lowest, calm - width), Math.min(highest, loud + 1.5 * width)];
  var farApart = highest - lowest > 1.5 * (near[1] - near[0]);
  var close = highest - lowest > 6 * width;
  function histogram() {
    const holder = byId("histogram");
    const value = byId("threshold-value");
    const reset = byId("threshold-reset");
    const closer = byId("histogram-close");
    closer.checked = close;
    closer.closest("label").hidden = !farApart;
    let size = 0;
    let scale = (score) => score;
    let inverse = (x) => x;
    let handle = null;
    const range = () => {
      const [low, high] = close ? near : [lowest, highest];
      const pad = (high - low || 1) * 0.03;
      return [low - pad, high + pad];
    };
    const place2 = () => {
      const [low, high] = range();
      const x = scale(Math.min(high, Math.max(low, state.threshold)));
      handle?.setAttribute("transform", `translate(${x.toFixed(2)} 0)`);
      handle?.setAttribute("aria-valuenow", String(state.threshold));
      const words = `${short(state.threshold)}, at most ${percent(ranks.promised(state.threshold))} false alarms promised`;
      handle?.setAttribute("aria-valuetext", words);
      holder.querySelector(".flagged")?.setAttribute("x", x.toFixed(2));
      holder.querySelector(".flagged")?.setAttribute("width", Math.max(0, size - MARGIN2.right - x).toFixed(2));
      if (document.activeElement !== value) value.value = String(Number(state.threshold.toPrecision(6)));
      reset.disabled = state.threshold === data.threshold;
    };
    const draw2 = (wide) => {
      size = wide;
      const [low, high] = range();
      const inner = wide - MARGIN2.left - MARGIN2.right;
      scale = (score) => MARGIN2.left + (score - low) / (high - low) * inner;
      inverse = (x) => low + (x - MARGIN2.left) / inner * (high - low);
      const focused2 = document.activeElement === handle;
      const chart = plot(wide, low, high, scale);
      handle = thumb(range);
      chart.append(handle);
      drag2(chart, inverse, handle);
      holder.replaceChildren(chart);
      place2();
      if (focused2) handle.focus();
    };
    whenWide(holder, draw2);
    on("threshold", place2);
    closer.addEventListener("change", () => {
      close = closer.checked;
      draw2(size);
    });
    value.addEventListener("change", () => setThreshold(value.valueAsNumber));
    value.addEventListener("blur", place2);
    reset.addEventListener("click", () => setThreshold(data.threshold));
    legend();
  }
  function legend() {
    const names = [{ name: `calibration (${calibration.length})`, class: "calibration" }];
    for (const kind of kinds) names.push({ name: `${kind.name} (${kind.values.length})`, class: kind.class });
    byId("histogram-legend").replaceChildren(
      ...names.map((kind) => el("li", {}, el("span", { class: `swatch ${kind.class}` }), kind.name))
    );
  }
  function plot(wide, low, high, scale) {
    const inner = HEIGHT - MARGIN2.top - MARGIN2.bottom;
    const bins = Math.max(12, Math.min(60, Math.round((wide - MARGIN2.left - MARGIN2.right) / 18)));
    const shares = (values) => {
      const found = new Array(bins).fill(0);
      for (const value of values) {
        const bin = Math.floor((value - low) / (high - low) * bins);
        if (bin >= 0 && bin < bins) found[bin] += 1 / values.length;
      }
      return found;
    };
    const rows = kinds.map((kind) => ({ ...kind, shares: shares(kind.values) }));
    const held = shares(calibration);
    const top = Math.max(0.01, ...held, ...rows.flatMap((row) => row.shares));
    const y = (share) => MARGIN2.top + inner * (1 - share / top);
    const edge = (bin) => scale(low + (high - low) * bin / bins);
    const base = y(0);
    const chart = svg("svg", { width: wide, height: HEIGHT, class: "chart", role: "group" });
    chart.setAttribute("aria-label", "Histogram of scores with a threshold that can be moved");
    for (const tick of ticks(0, top, 4)) {
      chart.append(
        svg("line", { class: "grid", x1: MARGIN2.left, x2: wide - MARGIN2.right, y1: y(tick), y2: y(tick) }),
        svg("text", { x: MARGIN2.left - 6, y: y(tick) + 4, "text-anchor": "end" }, percent(tick))
      );
    }
    chart.append(svg("rect", { class: "flagged", y: MARGIN2.top, height: inner, x: 0, width: 0 }));
    const gap = (edge(1) - edge(0)) / (rows.length || 1);
    rows.forEach((row, kind) => {
      row.shares.forEach((share, bin) => {
        if (share === 0) return;
        const left = edge(bin) + kind * gap;
        const bar = { x: left + 0.5, width: Math.max(1, gap - 1), y: y(share), height: base - y(share) };
        chart.append(svg("rect", { class: `bar ${row.class}`, ...bar }));
      });
    });
    const steps = held.map((share, bin) => `V${y(share).toFixed(1)}H${edge(bin + 1).toFixed(1)}`).join("");
    chart.append(
      svg("path", { class: "outline", d: `M${edge(0).toFixed(1)} ${base}${steps}V${base}` }),
      svg("line", { class: "axis", x1: MARGIN2.left, x2: wide - MARGIN2.right, y1: base, y2: base })
    );
    for (const tick of ticks(low, high, Math.max(4, Math.floor(wide / 100)))) {
      chart.append(svg("text", { x: scale(tick), y: base + 17, "text-anchor": "middle" }, short(tick)));
    }
    const title = close ? "score (closer look: far scores lie outside)" : "score";
    chart.append(svg("text", { x: wide / 2, y: HEIGHT - 4, "text-anchor": "middle", class: "title" }, title));
    return chart;
  }
  function thumb(range) {
    const [low, high] = range();
    const handle = svg(
      "g",
      {
        class: "threshold",
        id: "threshold",
        role: "slider",
        tabindex: 0,
        "aria-label": "Threshold",
        "aria-valuemin": low,
        "aria-valuemax": high,
        "aria-orientation": "horizontal"
      },
      svg("line", { y1: MARGIN2.top - 4, y2: HEIGHT - MARGIN2.bottom }),
      svg("rect", { class: "grip", x: -9, y: 3, width: 18, height: 20, rx: 5 }),
      svg("path", { class: "ridges", d: "M-3 9V17M0 9V17M3 9V17" })
    );
    handle.addEventListener("keydown", (event) => {
      const [from, to] = range();
      const step = (to - from) / (event.shiftKey ? 20 : 200);
      const moves = {
        ArrowLeft: state.threshold - step,
        ArrowDown: state.threshold - step,
        ArrowRight: state.threshold + step,
        ArrowUp: state.threshold + step,
        PageDown: state.threshold - (to - from) / 20,
        PageUp: state.threshold + (to - from) / 20,
        Home: from,
        End: to
      };
      const next = moves[event.key];
      if (next === void 0) return;
      event.preventDefault();
      event.stopPropagation();
      setThreshold(Math.min(to, Math.max(from, next)));
    });
    return handle;
  }
  function drag2(chart, inverse, handle) {
    const move2 = (event) => {
      const wide = chart.clientWidth;
      const x = event.clientX - chart.getBoundingClientRect().left;
      setThreshold(inverse(Math.min(wide - MARGIN2.right, Math.max(MARGIN2.left, x))));
    };
    chart.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      chart.setPointerCapture(event.pointerId);
      event.preventDefault();
      handle.focus({ preventScroll: true });
      move2(event);
    });
    chart.addEventListener("pointermove", (event) => {
      if (chart.hasPointerCapture(event.pointerId)) move2(event);
    });
  }

  // report/marks.ts
  var saved = 0;
  function marks() {
    byId("download").addEventListener("click", download);
    byId("forget").addEventListener("click", () => {
      if (window.confirm("Forget all marks?")) clearMarks();
    });
    on("marks", count);
    count();
    window.addEventListener("beforeunload", (event) => {
      if (state.marks.size > 0 && state.marks.size !== saved && !storage()) event.preventDefault();
    });
  }
  function count() {
    const values = [...state.marks.values()];
    const good = values.filter((value) => value === "good").length;
    byId("marked").textContent = `Marked: ${good} fine, ${values.length - good} bad`;
    byId("marks-bar").hidden = values.length === 0;
  }
  function csv() {
    const encoder = new TextEncoder();
    const bytes = [...encoder.encode("path,label\n")];
    for (const [index, value] of [...state.marks].sort(([a], [b]) => a - b)) {
      bytes.push(34);
      for (const byte of pathBytes(images[index])) bytes.push(...byte === 34 ? [34, 34] : [byte]);
      bytes.push(34, ...encoder.encode(`,${value}
`));
    }
    return Uint8Array.from(bytes);
  }
  function download() {
    const address = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    const anchor = document.createElement("a");
    anchor.href = address;
    anchor.download = "marks.csv";
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(address), 1e4);
    saved = state.marks.size;
  }
  function storage() {
    try {
      localStorage.setItem("onlygood", "");
      return true;
    } catch {
      return false;
    }
  }

  // report/summary.ts
  var defects = [...new Set(labeled.filter((image) => image.label === 1).map((image) => image.defect))].sort();
  function summary() {
    byId("title").textContent = data.model.product;
    byId("what").textContent = data.model.what;
    byId("made").textContent = `Report of ${data.made}, onlygood ${data.onlygood}`;
    model();
    files();
    measures();
    recount();
    let waiting2 = 0;
    on("threshold", () => {
      recount();
      clearTimeout(waiting2);
      waiting2 = window.setTimeout(() => byId("said").textContent = flaggedWords(), 400);
    });
  }
  function flagged(among) {
    return among.reduce((sum, image) => sum + Number(image.score > state.threshold), 0);
  }
  function flaggedWords() {
    return `${flagged(counted)} of ${counted.length} new images flagged`;
  }
  function recount() {
    const all = images.filter((image) => !image.seen);
    const number = (wanted) => all.filter((image) => status(image) === wanted).length;
    const tiles = [
      ["anomalous", number("anomalous"), "bad"],
      ["normal", number("normal"), "good"],
      ["unusable", number("unusable"), "odd"],
      ["unreadable", number("error"), "odd"]
    ];
    const seen = images.length - all.length;
    if (seen) tiles.push(["known to the model, not counted", seen, "plain"]);
    byId("tiles").replaceChildren(
      ...tiles.filter(([name, count2]) => count2 > 0 || name === "anomalous" || name === "normal").map(
        ([name, count2, kind]) => el("div", { class: `tile ${kind}` }, el("dt", {}, name), el("dd", {}, count2.toLocaleString("en")))
      )
    );
    const rows = [
      ["Flagged", shareWords(flagged(counted), counted.length, "new images", false)],
      ["Promised", `at most ${percent(ranks.promised(state.threshold))} of good ${data.calibration.unit}`]
    ];
    for (const [label, name, noun] of [
      [1, "Detected", "anomalous images"],
      [0, "False alarms", "good images"]
    ]) {
      const among = labeled.filter((image) => image.label === label);
      if (among.length) rows.push([name, shareWords(flagged(among), among.length, noun, true)]);
    }
    byId("readout").replaceChildren(...rows.flatMap(([name, words]) => [el("dt", {}, name), el("dd", {}, words)]));
    for (const cell of document.querySelectorAll("[data-defect]")) {
      const among = labeled.filter((image) => image.label === 1 && image.defect === cell.dataset.defect);
      cell.textContent = `${flagged(among)} of ${among.length}`;
    }
  }
  function shareWords(hits, total, noun, sure) {
    const words = `${hits.toLocaleString("en")} of ${total.toLocaleString("en")} ${noun}`;
    if (!total) return words;
    const [low, high] = sure ? interval(hits, total) : [0, 0];
    return `${words}: ${percent(hits / total)}${sure ? ` (${percent(low)} to ${percent(high)})` : ""}`;
  }
  function measures() {
    const found = data.measures;
    byId("with-labels").hidden = !labeled.length;
    byId("no-labels").hidden = labeled.length > 0;
    byId("measured").hidden = !found;
    byId("one-kind").hidden = !labeled.length || found !== null;
    document.querySelector('a[href="#labels"]').hidden = !labeled.length;
    byId("stand-in").hidden = found?.against !== "calibration";
    if (!found) return;
    byId("stand-in").textContent = standIn();
    const whole = [
      ["AUROC", found.auroc],
      ["Average precision", found.average_precision],
      ["False alarms where 95 % are detected", found.fpr95]
    ];
    byId("whole").replaceChildren(
      ...whole.map(
        ([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value.value.toFixed(3)), el("td", {}, spread(value)))
      )
    );
    byId("defects").replaceChildren(
      ...defects.map((name) => {
        const value = found.per_defect[name];
        return el(
          "tr",
          {},
          el("th", { scope: "row" }, name),
          el("td", { "data-defect": name }),
          el("td", {}, value.value.toFixed(3)),
          el("td", {}, spread(value))
        );
      })
    );
  }
  function standIn() {
    const known = images.filter((image) => image.label === 0 && image.seen).length;
    const why = known ? `The ${known.toLocaleString("en")} good images here are known to the model and do not count.` : "No image here that counts is called good.";
    const count2 = data.calibration.scores.length.toLocaleString("en");
    const parts = data.calibration.weights ? ", each counted by itself, whatever part it shows" : "";
    return `${why} In their place stand the ${count2} good images of the calibration${parts}, from which the model did not learn. How often new good images are flagged, those of another day above all, only new ones tell: score some that the model has not seen.`;
  }
  function spread(value) {
    return `${value.low.toFixed(3)} to ${value.high.toFixed(3)}`;
  }
  var MOST2 = 200;
  function files() {
    const groups = /* @__PURE__ */ new Map();
    for (const image of images) {
      if (image.copies !== null) groups.set(image.copies, [...groups.get(image.copies) ?? [], image]);
    }
    const path = (image) => `${folderName(image)}/${image.name}`;
    const reason = (image) => `${path(image)}: ${image.error}`;
    const lists = [
      ["Unreadable", images.filter((image) => image.status === "error").map(reason)],
      ["Unusable: blank, dark, clipped or blurred", images.filter((image) => image.status === "unusable").map(reason)],
      ["The same image several times", [...groups.values()].map((group) => group.map(path).join("  =  "))],
      ["Noted by the reader", images.filter((image) => image.notes.length).map((image) => `${path(image)}: ${image.notes.join("; ")}`)]
    ];
    const shown2 = lists.filter(([, lines]) => lines.length);
    byId("files-none").hidden = shown2.length > 0;
    byId("files-lists").hidden = shown2.length === 0;
    byId("files-lists").replaceChildren(
      ...shown2.map(
        ([name, lines]) => el(
          "details",
          { open: lines.length <= 20 },
          el("summary", {}, `${name} (${lines.length})`),
          el("ul", { class: "paths" }, ...lines.slice(0, MOST2).map((line) => el("li", {}, line))),
          lines.length > MOST2 && el("p", {}, `\u2026 and ${lines.length - MOST2} more.`)
        )
      )
    );
  }
  function model() {
    byId("facts").replaceChildren(
      ...data.model.facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])
    );
    const list2 = (id, lines) => byId(id).replaceChildren(...lines.map((line) => el("li", {}, line)));
    list2("promise", data.model.promise);
    list2("remarks", data.model.remarks);
    byId("remarks-box").hidden = !data.model.remarks.length;
    const found = [...data.found];
    if (!data.knows_seen) {
      found.push("The model file lists no training images: make sure that none of them is among these.");
    }
    list2("found", found);
    const { seconds, per_image_ms: ms } = data.run;
    const rate = seconds > 0 ? `, ${(images.length / seconds).toFixed(0)} a second` : "";
    const each = ms ? ` Reading and inference of one took ${ms[0]} ms at the median, ${ms[1]} ms at the 95 % quantile.` : "";
    byId("run").textContent = `${images.length.toLocaleString("en")} images in ${seconds.toFixed(1)} s${rate}.${each}`;
  }

  // report/main.ts
  summary();
  histogram();
  curves();
  viewer();
  gallery();
  marks();
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("select, input:not([type=checkbox])");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || byId("viewer").open) return;
    const acts = {
      t: () => byId("threshold").focus(),
      "/": () => byId("filter-text").focus(),
      g: () => document.querySelector("#grid .look[tabindex='0']")?.focus(),
      h: () => showHeat(!state.heat)
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  document.documentElement.dataset.ready = "true";
  return __toCommonJS(main_exports);
})();
