/** The list of hands beside the picture: which one the 3D view and the mesh file are about. */

export class Panel {
  /**
   * @param heading says how many hands there are.
   * @param list holds a radio button for each.
   * @param onChoice is called with the chosen hand, or null.
   */
  constructor(heading, list, onChoice) {
    this.heading = heading;
    this.list = list;
    this.onChoice = onChoice;
    this.hands = [];
    this.chosen = 0;
    this.shown = "";
    list.addEventListener("change", (event) => this.choose(Number(event.target.value)));
  }

  /** The hand that is chosen; null where there is none. */
  get hand() {
    return this.hands[this.chosen] ?? null;
  }

  /** Lists the hands of a picture or of the next frame. */
  show(hands) {
    this.hands = hands;
    this.chosen = Math.min(this.chosen, Math.max(hands.length - 1, 0));
    const names = hands.map((hand, k) => `${hand.id ?? k + 1}: ${hand.side} hand`);
    // In a clip only the scores change from frame to frame: buttons that were made anew would lose the focus.
    if (names.join() !== this.shown) this.list.replaceChildren(...names.map((name, k) => this.row(name, k)));
    this.shown = names.join();
    this.heading.textContent = ["No hands", "One hand"][hands.length] ?? `${hands.length} hands`;
    this.list.querySelectorAll(".score").forEach((score, k) => (score.textContent = hands[k].score.toFixed(2)));
    this.onChoice(this.hand);
  }

  choose(number) {
    this.chosen = number;
    this.onChoice(this.hand);
  }

  row(name, number) {
    const [label, button, score] = ["label", "input", "span"].map((tag) => document.createElement(tag));
    Object.assign(button, { type: "radio", name: "hand", value: number, checked: number === this.chosen });
    score.className = "score";
    label.append(button, name, score);
    return label;
  }
}

/** What a screen reader and the status line say of hands. */
export function inWords(hands) {
  if (!hands.length) return "no hand found";
  return hands.map((hand) => `${hand.side} hand${hand.gesture ? ` (${hand.gesture})` : ""}, score ${hand.score.toFixed(2)}`).join("; ");
}
