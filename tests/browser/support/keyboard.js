// What a page looks like to somebody who has no mouse: `keys.begin()`, then `keys.step()` after each press of the tab key
// (in a menu: of an arrow), then `keys.end()`. Shadow roots are looked into.
window.keys ??= (() => {
  const NATIVE = "a[href], button, input, select, textarea, summary, [contenteditable=true]";
  const OPERABLE = `${NATIVE}, [role=button], [role=link], [role=checkbox], [role=switch], [role=combobox], [role=slider], [tabindex]:not([tabindex='-1'])`;
  /** Of each, the tab key reaches one part, and arrows lead on from there. */
  const COMPOSITE = "[role=tree], [role=treegrid], [role=grid], [role=listbox], [role=menu], [role=radiogroup], [role=tablist], [role=toolbar]";
  const OVERLAY = "[role=dialog], [role=alertdialog], [role=menu]";
  /** A menu that has the focus stands in a dialog of its own; another one belongs to the field above it. */
  const overlay = () => [...document.querySelectorAll("[role=menu]")].find((menu) => menu.contains(active())) ?? document.querySelector(OVERLAY);
  /** A picture of a graph: beside it stands an outline or a table with the same for keyboards. */
  const PICTURE = ".react-flow";
  const DATES = ["date", "time", "datetime-local", "month", "week"];

  const up = (element) => element.parentElement ?? (element.getRootNode() instanceof ShadowRoot ? element.getRootNode().host : null);
  const chain = (element, most = Infinity) => {
    const found = [];
    for (let at = element; at !== null && found.length < most; at = up(at)) found.push(at);
    return found;
  };
  const around = (element, selector) => chain(element).find((one) => one.matches(selector)) ?? null;
  function* all(root) {
    for (const element of root.querySelectorAll("*")) {
      yield element;
      if (element.shadowRoot !== null) yield* all(element.shadowRoot);
    }
  }
  const active = () => {
    let element = document.activeElement;
    while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
    return element === document.body || element === document.documentElement ? null : element;
  };
  const told = (element) => {
    const name = element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent ?? "";
    return `${element.tagName.toLowerCase()} ${JSON.stringify(name.trim().slice(0, 60))} .${element.getAttribute("class") ?? ""}`;
  };

  /** What is seen of it: of a hidden field, what stands around it. */
  const shapeOf = (element) => {
    const isSeen = (one) => one.getBoundingClientRect().width > 2;
    return chain(element, 3).every(isSeen) ? element : (chain(element).find((one) => chain(one, 3).every(isSeen)) ?? element);
  };

  // What can be operated ------------------------------------------------------------------------------------------
  const isThere = (element) => {
    if (element.matches(":disabled, [aria-disabled=true]") || around(element, "[aria-hidden=true], [inert]") !== null) return false;
    // What closes a dialog for screen readers by touch; keyboards have Escape.
    if (element.tabIndex < 0 && shapeOf(element) !== element) return false;
    const { width, height } = element.getBoundingClientRect();
    return width > 0 && height > 0 && element.checkVisibility({ visibilityProperty: true });
  };
  const controls = () => [...all(document)].filter((element) => element.matches(OPERABLE) && isThere(element));
  /** What answers a click, and has nothing in it or around it for the keyboard. */
  const byMouseAlone = () =>
    [...all(document)].filter((element) => {
      const name = Object.keys(element).find((key) => key.startsWith("__reactProps$"));
      if (name === undefined || !(element[name].onClick || element[name].draggable) || !isThere(element)) return false;
      return around(element, `${OPERABLE}, ${COMPOSITE}, label, ${PICTURE}`) === null && ![...all(element)].some((one) => one.matches(OPERABLE));
    });

  // What is seen --------------------------------------------------------------------------------------------------
  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = colour;
    pixel.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = pixel.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3]));
  const ground = (element) => {
    const layers = chain(element).map((one) => rgba(getComputedStyle(one).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const light = (colour) => {
    const [red, green, blue] = colour.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, other) => {
    const [dark, bright] = [light(one), light(other)].toSorted((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  const see = (element) => {
    const style = getComputedStyle(element);
    const own = ground(element);
    const outside = up(element) === null ? own : ground(up(element));
    const width = style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth);
    const offset = parseFloat(style.outlineOffset);
    const outline = width < 1 ? null : over(rgba(style.outlineColor), offset < 0 ? own : outside);
    const border = parseFloat(style.borderTopWidth) < 1 ? null : over(rgba(style.borderTopColor), outside);
    return { own, outside: offset < 0 ? own : outside, outline, border, shown: outline === null ? 0 : shareShown(element, width + offset) };
  };
  /** Of a line around an element, how much is not cut off by what scrolls or hides around it. */
  const shareShown = (element, by) => {
    const box = element.getBoundingClientRect();
    const [left, top, right, bottom] = [box.left - by, box.top - by, box.right + by, box.bottom + by];
    let [from, above, to, below] = [0, 0, innerWidth, innerHeight];
    for (const one of chain(up(element) ?? element)) {
      const { overflowX, overflowY } = getComputedStyle(one);
      if (overflowX === "visible" && overflowY === "visible") continue;
      const clip = one.getBoundingClientRect();
      [from, above] = [Math.max(from, clip.left + one.clientLeft), Math.max(above, clip.top + one.clientTop)];
      [to, below] = [Math.min(to, clip.left + one.clientLeft + one.clientWidth), Math.min(below, clip.top + one.clientTop + one.clientHeight)];
    }
    const across = Math.max(0, Math.min(right, to) - Math.max(left, from));
    const down = Math.max(0, Math.min(bottom, below) - Math.max(top, above));
    // Edges that stand on each other may differ by what a number of pixels is rounded by.
    const shown = (top >= above - 0.5) * across + (bottom <= below + 0.5) * across + (left >= from - 0.5) * down + (right <= to + 0.5) * down;
    return shown / (2 * (right - left + bottom - top));
  };
  /** The contrast of what has changed with the focus, in the element or close around it; 0: nothing has. */
  const strength = (focused, before) =>
    Math.max(
      ...focused.map((now, at) => {
        const then = before[at];
        const isNew = now.outline !== null && (then.outline === null || contrast(now.outline, then.outline) >= 3);
        const line = isNew && now.shown >= 0.5 ? contrast(now.outline, now.outside) : 0;
        const edge = now.border !== null && then.border !== null && String(now.border) !== String(then.border) ? contrast(now.border, then.border) : 0;
        const fill = String(now.own) === String(then.own) ? 0 : contrast(now.own, then.own);
        return Math.max(line, edge, fill);
      }),
    );
  const isCovered = (element) => {
    const shape = shapeOf(element);
    // Of a link that goes over several lines, the first.
    const box = shape.getClientRects()[0];
    const [left, top, right, bottom] = [Math.max(0, box.left), Math.max(0, box.top), Math.min(innerWidth, box.right), Math.min(innerHeight, box.bottom)];
    const places = [0.5, 0.1, 0.9].flatMap((x) => [0.5, 0.2, 0.8].map((y) => [left + (right - left) * x, top + (bottom - top) * y]));
    return !places.some(([x, y]) => {
      const found = document.elementFromPoint(x, y);
      return found !== null && (shape.contains(found) || (found.shadowRoot !== null && chain(shape).includes(found)));
    });
  };

  // The walk ------------------------------------------------------------------------------------------------------
  let at = null;
  let first = null;
  let within = null;
  let isMenu = false;
  let reached = new Set();
  let wanted = [];
  let faults = [];

  const take = (element) => {
    at = { element, parts: chain(element, 6), seen: chain(element, 6).map(see) };
    reached.add(element);
    if (isCovered(element)) faults.push(`${told(element)} is covered when it has the focus`);
  };
  /** `next`: what has the focus now. Where that is the same, it is the only stop there is, and cannot be seen without the focus. */
  const judge = (next) => {
    if (at === null || !at.element.isConnected) return;
    const now = at.parts.map(see);
    const found = strength(at.seen, next === at.element ? now.map((one) => ({ ...one, outline: null })) : now);
    if (found < 3) faults.push(`${told(at.element)} ${found === 0 ? "does not show that it has the focus" : `shows the focus by a contrast of ${found.toFixed(2)}`}`);
  };
  const isBehind = (element, before) => {
    const place = (one) => {
      let outer = one;
      while (outer.getRootNode() instanceof ShadowRoot) outer = outer.getRootNode().host;
      return outer;
    };
    return Boolean(place(element).compareDocumentPosition(place(before)) & Node.DOCUMENT_POSITION_FOLLOWING);
  };

  return {
    /** From the top of the page; in a dialog, from where the focus is. */
    async begin() {
      // What opens finds its place first.
      if (overlay() !== null) await new Promise((resolve) => setTimeout(resolve, 100));
      [at, first, reached, faults] = [null, null, new Set(), []];
      within = overlay();
      isMenu = within?.matches("[role=menu]") === true;
      wanted = isMenu ? [...within.querySelectorAll("[role^=menuitem]")] : controls();
      for (const element of wanted) if (element.tabIndex > 0) faults.push(`${told(element)} goes before what stands above it`);
      for (const element of byMouseAlone()) faults.push(`${told(element)} is for the mouse alone`);
      if (within !== null) {
        first = active();
        if (first === null || !within.contains(first)) faults.push("the dialog does not have the focus");
        // The dialog itself has it when nothing in it can.
        if (first !== null && (isMenu || first.tabIndex >= 0)) take(first);
        return;
      }
      // What is removed leaves the place behind from where the tab key goes on.
      const mark = document.body.insertBefore(document.createElement("span"), document.body.firstChild);
      mark.tabIndex = -1;
      mark.focus();
      mark.remove();
    },
    /** After a press of the tab key; gives whether that was the last one. */
    async step() {
      // Editors of text and what opens show the focus a little later, and a picture moves to what has it.
      const isLate = (element) => element !== null && (within !== null || element.getRootNode() instanceof ShadowRoot || around(element, PICTURE) !== null);
      if (isLate(active()) || isLate(at?.element ?? null)) await new Promise((resolve) => setTimeout(resolve, 50));
      const element = active();
      if (at !== null && element === at.element && DATES.includes(element.type)) return false;
      judge(element);
      const before = at?.element ?? null;
      if (element === null || element === first) return true;
      if (within !== null && !within.contains(element)) {
        faults.push(`the focus leaves the dialog for ${told(element)}`);
        return true;
      }
      if (isMenu && element === before) return true;
      if (reached.has(element)) {
        faults.push(`the tab key ${element === before ? "stays at" : "goes back to"} ${told(element)}`);
        return true;
      }
      if (before !== null && isBehind(element, before) && within === null) faults.push(`${told(element)} comes after ${told(before)}, which stands below it`);
      first ??= element;
      take(element);
      return false;
    },
    /** What was wrong, and how many were reached. */
    end() {
      const left = new Set(controls());
      for (const element of wanted) {
        if (reached.has(element) || !left.has(element)) continue;
        const whole = around(element, COMPOSITE);
        const isPart = whole !== null && [...reached].some((one) => chain(one).includes(whole));
        const isRadio = element.type === "radio" && [...reached].some((one) => one.type === "radio" && one.name === element.name);
        if (isMenu || (!isPart && !isRadio)) faults.push(`the keyboard does not reach ${told(element)}`);
      }
      return { faults, reached: reached.size };
    },

    // Dialogs -----------------------------------------------------------------------------------------------------
    /** What opens something, one of each kind. */
    openers(asks) {
      const found = new Map();
      for (const element of controls()) {
        const says = element.textContent.trim();
        // A row of a tree opens what is below it, by an arrow.
        if (!found.has(says) && !element.matches("[role=row]") && (element.matches("[aria-expanded=false], [aria-haspopup]") || asks.some((one) => says.startsWith(one)))) found.set(says, element);
      }
      window.keys.found = [...found.values()];
      return window.keys.found.map(told);
    },
    focus(index) {
      window.keys.found[index].focus();
    },
    isBack: (index) => active() === window.keys.found[index],
    /** Whether a dialog or a menu is open and has the focus, what is open is a part of the page, or nothing is yet. */
    opened(index) {
      const open = overlay();
      if (open !== null) return open.contains(active()) ? open.getAttribute("role") : null;
      return window.keys.found[index].getAttribute("aria-expanded") === "true" ? "part" : null;
    },
    isClosed: () => overlay() === null,
  };
})();
