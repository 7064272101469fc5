// The page's words: English as it stands in these files, or what the catalogue of the page's language has for it.

const root = document.documentElement;
export const language = root.lang;
const named = { items: root.dataset.items, people: root.dataset.people }; // what the server was told to call them
const { messages, patterns } = await catalogue();

async function catalogue() {
  if (language !== "en") {
    try {
      const { messages: found, by_text: byText } = await (await fetch(`words.${language}.json`)).json();
      const own = (english) => english.replace(/\{\w+\}/g, "").length;
      byText.sort((one, other) => own(other) - own(one));
      return { messages: found, patterns: byText.map((english) => [pattern(english), found[english]]) };
    } catch (error) {
      console.warn(`the page stays in English: ${error.message}`);
    }
  }
  return { messages: {}, patterns: [] };
}

/** A regular expression for a message whose values are filled in: {n} is a number, {t} the name of a type. */
function pattern(english) {
  const pieces = english.split(/\{(\w+)\}/);
  const seen = new Set();
  return new RegExp(`^${pieces.map((piece, i) => {
    if (i % 2 === 0) return piece.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    if (seen.has(piece)) return `\\k<_${piece}>`;
    seen.add(piece);
    return `(?<_${piece}>${{ n: "\\d[\\d,.]*", t: "[\\w.]+(?: [\\w.]+)?" }[piece[0]] ?? ".*?"})`;
  }).join("")}$`, "s");
}

const PARTICLES = {
  "이(가)": ["이", "가"], "을(를)": ["을", "를"], "은(는)": ["은", "는"], "과(와)": ["과", "와"],
  "(으)로": ["으로", "로"], "(이)라는": ["이라는", "라는"], "(이)라고": ["이라고", "라고"],
};
const BOTH = /([가-힣0-9%])(['"’”]?)(이\(가\)|을\(를\)|은\(는\)|과\(와\)|\(으\)로|\(이\)라는|\(이\)라고)/g;
const RIEUL = 8; // the place of ㄹ among last consonants, behind which it is 로
const DIGITS = { 0: 21, 1: RIEUL, 2: 0, 3: 16, 4: 0, 5: 0, 6: 1, 7: RIEUL, 8: RIEUL, 9: 0, "%": 0 };

/** Korean particles that fit the sound before them, as shortlist/language/particles.py chooses them. */
const finished = (text) => (language !== "ko" || !text.includes("(") ? text : text.replace(BOTH, (all, letter, quote, both) => {
  const last = DIGITS[letter] ?? (letter.charCodeAt(0) - 0xac00) % 28;
  return letter + quote + PARTICLES[both][last === 0 || (last === RIEUL && both === "(으)로") ? 1 : 0];
}));

const filled = (text, values) => finished(text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all));

/** A message of this page, with its {names} filled in; {items} and {people} are what the server calls them. */
export function translated(english, values = {}) {
  return filled(messages[english] ?? english, { ...named, ...values });
}

/** A finished text of the server in the page's language, and so its values; unchanged where the catalogue has none. */
export function shown(text) {
  if (messages[text]) return messages[text];
  for (const [english, translation] of patterns) {
    const found = english.exec(text);
    if (found) return filled(translation, Object.fromEntries(Object.entries(found.groups).map(([name, value]) => [name.slice(1), value === text ? value : shown(value)])));
  }
  return text;
}

export const count = (number) => number.toLocaleString(language);
