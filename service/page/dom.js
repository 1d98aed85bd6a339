// The few ways in which this page touches the document. Text is only ever set as text.

export const byId = (id) => document.getElementById(id);

export function createNode(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Set what differs only, so that a selection or a screen reader's place is not lost. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  const text = String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

export function setChip(node, word) {
  setAttribute(node, "data-word", word || "none");
  setText(node, word || "");
}

/** Keep one child per item: those that stay keep their nodes, and so the focus. */
export function updateList(parent, items, key, create, update) {
  const known = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  items.forEach((item, index) => {
    const id = key(item);
    let node = known.get(id);
    known.delete(id);
    if (!node) {
      node = create(item);
      node.dataset.key = id;
    }
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
    update(node, item);
  });
  for (const node of known.values()) node.remove();
}
