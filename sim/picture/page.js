// Draws one recording (its form: page.cc). No library, no network.
//
//   1 reading   the data becomes events, messages, and the state of every node after each event
//   2 words     events as sentences
//   3 view      what is shown, where on the time axis, and what is selected
//   4 drawing   the diagram, the overview
//   5 panels    the selected event, the nodes, the story
//   6 input     keys, pointer, buttons
(() => {
'use strict';

const $ = (id) => document.getElementById(id);
const data = JSON.parse($('data').textContent);

// ---- 1 reading -------------------------------------------------------------------------------------

// In the order of sim/picture/recording.h.
const SENT = 0, DOUBLED = 1, ARRIVED = 2, IGNORED = 3, WAITS = 4, LOST = 5, CUT = 6, HELD = 7, RESET = 8, TURN = 9, DISK = 10,
  STARTED = 11, KILLED = 12, POWER_LOSS = 13, PAUSED = 14, RESUMED = 15, SAYS = 16, FAULT = 17, FAULT_OVER = 18, INVOKED = 19,
  ASKED = 20, RETURNED = 21, REMARK = 22, VIOLATION = 23;
const ABSENT = 0, DOWN = 1, UP = 2, FROZEN = 3, REPAIRING = 4;
const FOLLOWER = 0, PRE_CANDIDATE = 1, CANDIDATE = 2, LEADER = 3;
const APPEND = 0, APPEND_ANSWER = 1, HEARTBEAT = 2, HEARTBEAT_ANSWER = 3, VOTE = 4, VOTE_ANSWER = 5, PRE_VOTE = 6,
  PRE_VOTE_ANSWER = 7, SNAPSHOT = 8, READ = 9, FORWARD = 10, TRANSFER = 11, REPAIR = 12;

const GROUPS = [
  ['votes', 'Votes', [VOTE, VOTE_ANSWER, PRE_VOTE, PRE_VOTE_ANSWER, TRANSFER]],
  ['appends', 'Appends', [APPEND, APPEND_ANSWER]],
  ['heartbeats', 'Heartbeats', [HEARTBEAT, HEARTBEAT_ANSWER]],
  ['snapshots', 'Snapshots', [SNAPSHOT, REPAIR]],
  ['requests', 'Requests', [READ, FORWARD]],
  ['disk', 'Disk', []],
  ['clients', 'Clients', []],
  ['faults', 'Faults', []],
];
const QUIET_AT_FIRST = ['heartbeats', 'requests'];
const groupOfMessage = [];
for (const [name, , kinds] of GROUPS) for (const kind of kinds) groupOfMessage[kind] = name;

const text = (place) => data.strings[place];
const pairs = (flat) => flat.reduce((list, value, i) => (i % 2 ? list[list.length - 1].push(value) : list.push([value]), list), []);

const entries = data.entries.map(([index, term, words]) => ({index, term, text: text(words)}));
const messages = data.messages.map(([from, to, sent, kind, term, refusal, first, last, words], place) =>
  ({place, from, to, sent, kind, term, refusal: refusal === 1, first, last, text: text(words), start: -1, doubled: false, ends: []}));
const faults = data.faults.map(([name, words, begin, end, nodes, links]) =>
  ({name: text(name), text: text(words), begin, end, nodes, links: pairs(links), first: -1, last: -1}));
const operations = data.operations.map(([client, words, begin, end, acknowledged, outcome]) =>
  ({client: text(client), text: text(words), begin, end, acknowledged: acknowledged === 1, outcome: text(outcome), first: -1, last: -1}));

const ABSENT_VIEW = {run: ABSENT, role: FOLLOWER, term: 0, vote: 0, leader: 0, commit: 0, applied: 0, durable: 0, snapshot: 0,
  promised: 0, match: [], conf: '', base: 0, log: []};
const FIELDS = {u: 'run', r: 'role', t: 'term', v: 'vote', l: 'leader', c: 'commit', a: 'applied', d: 'durable', s: 'snapshot', p: 'promised'};
const lastOf = (view) => view.base + view.log.length;
const entryAt = (view, index) => index > view.base && index <= lastOf(view) ? entries[view.log[index - view.base - 1]] : null;

function apply(view, change) {
  const after = Object.assign({}, view);
  for (const key in FIELDS) if (key in change) after[FIELDS[key]] = change[key];
  if ('m' in change) after.match = pairs(change.m);
  if ('f' in change) after.conf = text(change.f);
  if ('e' in change) {
    const whole = change.b < view.base || change.b > lastOf(view);
    const kept = whole ? [] : view.log.slice(change.b - view.base, Math.max(change.b, change.k) - view.base);
    after.base = change.b;
    after.log = kept.concat(change.e);
  }
  return after;
}

// views[node]: [{at: event, view}], what the node is from that event on; the first is before all.
const views = {};
for (const node of data.nodes) {
  const start = data.start[node];
  views[node] = [{at: -1, view: start ? apply(ABSENT_VIEW, start) : ABSENT_VIEW}];
}
let clock = 0;
const events = data.events.map(([wait, kind, node = 0, subject = 0, words = 0, change = null], i) => {
  clock += wait;
  const event = {i, t: clock, kind, node, subject, text: words ? text(words - 1) : '', change};
  if (change) {
    const list = views[node];
    list.push({at: i, view: apply(list[list.length - 1].view, change)});
  }
  if (kind <= RESET) {
    const message = messages[subject];
    if (kind === SENT) message.start = i;
    else if (kind === DOUBLED) message.doubled = true;
    else message.ends.push(i);
  } else if (kind === FAULT) faults[subject].first = i;
  else if (kind === FAULT_OVER) faults[subject].last = i;
  else if (kind === INVOKED) operations[subject].first = i;
  else if (kind === RETURNED) operations[subject].last = i;
  return event;
});
const last = events.length - 1;
const firstTime = events.length ? events[0].t : 0;
const broken = data.broken;
const story = data.story;
const inStory = new Set(story);
const storyMessages = new Set(story.filter((i) => events[i].kind <= RESET).map((i) => events[i].subject));
const clients = [...new Set(operations.map((operation) => operation.client))].sort(
  (a, b) => a.length - b.length || (a < b ? -1 : 1));

// The last place in a sorted list whose key is at most `value`, or -1.
function floor(list, key, value) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (key(list[middle]) <= value) low = middle + 1; else high = middle;
  }
  return low - 1;
}
const viewOf = (node, event) => views[node][floor(views[node], (step) => step.at, event)].view;
const viewBefore = (node, event) => viewOf(node, event - 1);
const isLate = (message, event) => message.term > 0 && event.kind === ARRIVED && message.kind !== PRE_VOTE_ANSWER &&
  viewBefore(message.to, event.i).term > message.term;

// ---- 2 words -----------------------------------------------------------------------------------------

const ROLES = ['follower', 'pre-vote', 'candidate', 'leader'];
const seconds = (t, digits = 6) => {
  const fraction = String(t % 1000000).padStart(6, '0').slice(0, digits);
  return Math.floor(t / 1000000) + '.' + fraction.slice(0, 3) + (digits > 3 ? '\u2009' + fraction.slice(3) : '');
};
const span = (us) => us < 1000 ? us + ' \u00b5s' : us < 1000000 ? (us / 1000).toFixed(us < 10000 ? 2 : 1) + ' ms' : (us / 1000000).toFixed(2) + ' s';
const range = (a, b) => a === b ? String(a) : a + '\u2013' + b;
const plainEntry = (entry) => '(' + entry.index + ', term ' + entry.term + ') = ' + entry.text;

function roleWords(view) {
  if (view.run === ABSENT) return 'not there yet';
  if (view.run === DOWN) return 'down';
  if (view.run === FROZEN) return 'paused';
  if (view.run === REPAIRING) return 'repairing';
  return ROLES[view.role];
}

// What is different, in phrases; those that should not be so are marked.
function phrases(before, after, event) {
  const list = [];
  const say = (words, bad = false) => list.push({words, bad});
  const restart = event.kind === STARTED && before.run !== ABSENT;
  const newTerm = after.term !== before.term;
  if (after.role !== before.role || (newTerm && after.role !== FOLLOWER)) {
    if (after.role === LEADER) say('becomes leader of term ' + after.term);
    else if (after.role === CANDIDATE) say('campaigns in term ' + after.term);
    else if (after.role === PRE_CANDIDATE) say('asks whether it could win term ' + (after.term + 1));
    else if (before.role === LEADER && after.run === UP) say('leads no more');
    else if (after.run === UP && before.run === UP) say('gives up its campaign');
  }
  if (newTerm && after.role === FOLLOWER && before.run !== ABSENT) {
    say((restart && after.term < before.term ? 'has forgotten term ' + before.term + ': is back in term ' : 'is now in term ') + after.term,
      after.term < before.term);
  }
  if (after.vote !== before.vote) {
    if (after.vote && !newTerm && before.vote) say('votes for node ' + after.vote + ', and had voted for node ' + before.vote, true);
    else if (after.vote === event.node) say('votes for itself');
    else if (after.vote) say('votes for node ' + after.vote);
    else if (restart && !newTerm) say('has forgotten that it voted for node ' + before.vote + ' in term ' + after.term, true);
  }
  if (after.leader !== before.leader && after.leader && after.leader !== event.node) say('follows node ' + after.leader);
  if (after.log !== before.log || after.base !== before.base) logPhrases(before, after, restart, say);
  if (after.promised !== before.promised) {
    say(after.promised ? 'may have lost entries up to ' + after.promised + ', and keeps its word about them' : 'has made up for what it lost', !!after.promised);
  }
  if (after.durable > before.durable && before.run !== ABSENT && !restart) say('entries up to ' + after.durable + ' are on its disk');
  if (after.commit > before.commit && before.run !== ABSENT) say('commits up to ' + after.commit);
  if (after.commit < before.commit && !restart) say('commit goes back from ' + before.commit + ' to ' + after.commit, true);
  if (after.applied > before.applied && before.run !== ABSENT) say('applies up to ' + after.applied);
  if (after.snapshot > before.snapshot && before.run !== ABSENT) say('has snapshot ' + after.snapshot);
  if (after.conf !== before.conf && before.conf) say('members are now ' + after.conf);
  if (String(after.match) !== String(before.match) && after.match.length) {
    const moved = after.match.filter(([node, index]) => node !== event.node && !before.match.some((old) => old[0] === node && old[1] === index) && index > 0);
    if (moved.length && before.role === LEADER) say('knows that ' + moved.map(([node, index]) => 'node ' + node + ' has ' + index).join(', '));
  }
  return list;
}

function logPhrases(before, after, restart, say) {
  const lastBefore = lastOf(before), lastAfter = lastOf(after);
  // The first index at which they differ.
  let from = Math.max(before.base, after.base) + 1;
  while (from <= lastBefore && from <= lastAfter && entryAt(before, from) === entryAt(after, from)) ++from;
  if (before.run === ABSENT) {
    say('has a log from ' + (after.base + 1) + ' to ' + lastAfter);
    return;
  }
  const gone = from <= lastBefore && before.log.length > 0 && after.base < lastBefore;
  if (gone) {
    const durable = restart && before.durable >= from;
    say((restart ? 'has lost ' : 'drops ') + (from === lastBefore ? 'entry ' : 'entries ') + range(from, lastBefore) +
      (durable ? ', which its disk had said to have' : restart ? ', which had not been synced' : ''), durable);
  }
  if (after.base > before.base) say(after.base > lastBefore ? 'takes snapshot ' + after.base + ' in place of its log' : 'compacts its log up to ' + after.base);
  if (lastAfter >= from && !(restart && !gone && lastAfter === lastBefore)) {
    if (from === lastAfter) say('appends ' + plainEntry(entryAt(after, from)));
    else say('appends entries ' + range(from, lastAfter) + ', the last ' + plainEntry(entryAt(after, lastAfter)));
  }
}

function phrasesOf(event) {
  if (!event.change) return [];
  return phrases(viewBefore(event.node, event.i), viewOf(event.node, event.i), event);
}

const messageNames = data.messageKinds;
function shortMessage(message) {
  const yes = message.refusal ? ' \u2717' : ' \u2713';
  switch (message.kind) {
    case APPEND: return message.last ? 'append ' + range(message.first, message.last) : 'append, empty';
    case APPEND_ANSWER: return 'append' + yes + ' ' + message.last;
    case VOTE: return 'vote?';
    case VOTE_ANSWER: return 'vote' + yes;
    case PRE_VOTE: return 'pre-vote?';
    case PRE_VOTE_ANSWER: return 'pre-vote' + yes;
    case SNAPSHOT: return message.last ? 'snapshot ' + message.last : 'snapshot \u2713';
    default: return messageNames[message.kind];
  }
}

function groupedLinks(links) {
  const targets = new Map();
  for (const [from, to] of links) targets.set(from, (targets.get(from) || []).concat(to));
  const groups = new Map();
  for (const [from, tos] of targets) {
    const key = tos.sort((a, b) => a - b).join(' ');
    groups.set(key, (groups.get(key) || []).concat(from));
  }
  const sides = [...groups].map(([to, from]) => [from.sort((a, b) => a - b).join(' '), to]);
  if (sides.length === 2 && sides[0][0] === sides[1][1] && sides[0][1] === sides[1][0]) return sides[0][0] + '  |  ' + sides[0][1];
  return sides.map(([from, to]) => from + ' \u219b ' + to).join(', ');
}
function faultWords(fault) {
  if (!fault.links.length) return fault.text;
  return (fault.text.startsWith('clog') ? 'clogged ' : 'cut ') + groupedLinks(fault.links);
}

// A sentence about what happened, without what it changed.
function headline(event) {
  if (event.kind <= RESET) {
    const message = messages[event.subject];
    const what = message.text;
    switch (event.kind) {
      case SENT: return 'Node ' + message.from + ' sends node ' + message.to + ': ' + what;
      case ARRIVED: return 'Node ' + message.to + ' hears from node ' + message.from + ': ' + what;
      case DOUBLED: return 'Doubled on its way from node ' + message.from + ' to node ' + message.to + ': ' + what;
      case IGNORED: return 'Node ' + message.to + ' is down; for it from node ' + message.from + ': ' + what;
      case WAITS: return 'Node ' + message.to + ' is paused; waiting for it, from node ' + message.from + ': ' + what;
      case LOST: return 'Lost on its way from node ' + message.from + ' to node ' + message.to + ': ' + what;
      case CUT: return 'Stopped by a cut link, from node ' + message.from + ' to node ' + message.to + ': ' + what;
      case HELD: return 'Held back by a clogged link, from node ' + message.from + ' to node ' + message.to + ': ' + what;
      default: return 'Gone with the connection of node ' + message.to + ', from node ' + message.from + ': ' + what;
    }
  }
  const node = 'Node ' + event.node;
  switch (event.kind) {
    case TURN: return node + (phrasesOf(event).length ? ' ' + phrasesOf(event)[0].words : ' does something');
    case DISK: return 'The disk of node ' + event.node + (event.text.startsWith('has ') ? ' ' : ': ') + event.text;
    case STARTED: return node + ' ' + (event.text || 'starts');
    case KILLED: return node + ' is killed';
    case POWER_LOSS: return node + ' loses power' + (event.text ? ' ' + event.text : '');
    case PAUSED: return node + ' is paused';
    case RESUMED: return node + ' goes on';
    case SAYS: return node + ' ' + event.text;
    case FAULT: return 'Fault: ' + faultWords(faults[event.subject]);
    case FAULT_OVER: return 'Over: ' + faultWords(faults[event.subject]);
    case INVOKED: return 'Client ' + operations[event.subject].client + ' calls ' + operations[event.subject].text;
    case ASKED: return 'Client ' + operations[event.subject].client + ' asks node ' + event.node + ' to ' + operations[event.subject].text;
    case RETURNED: return 'Client ' + operations[event.subject].client + ' hears ' + operations[event.subject].outcome + ' of ' + operations[event.subject].text;
    case VIOLATION: return 'VIOLATION: ' + event.text;
    default: return event.text.charAt(0).toUpperCase() + event.text.slice(1);
  }
}
// That what arrives is of a term that its receiver has left behind: it must not count.
function late(event) {
  const message = messages[event.subject];
  if (!isLate(message, event)) return [];
  return [{words: 'which is of term ' + message.term + ' while it is in term ' + viewBefore(message.to, event.i).term, bad: message.kind === VOTE_ANSWER && !message.refusal}];
}
// The whole event in one line, for the story: what it changed rather than what was said.
function sentence(event) {
  const list = phrasesOf(event);
  if (event.kind === VIOLATION) return {lead: event.text, list: []};
  if (event.kind === ARRIVED || event.kind === DISK || event.kind === TURN) {
    if (list.length) {
      const message = event.kind === ARRIVED ? messages[event.subject] : null;
      const lead = 'Node ' + event.node + (message ? ', hearing \u201c' + shortMessage(message) + '\u201d from node ' + message.from + ',' : '');
      return {lead, list: late(event).concat(list)};
    }
    if (event.kind === ARRIVED) {
      const message = messages[event.subject];
      return {lead: 'Node ' + message.to + ' hears \u201c' + shortMessage(message) + '\u201d of term ' + message.term + ' from node ' + message.from, list: late(event)};
    }
  }
  return {lead: headline(event) + (list.length ? ':' : ''), list: list.filter((phrase) => event.kind !== STARTED || phrase.bad || !/^applies|^commits/.test(phrase.words))};
}
const plain = (event) => {
  const said = sentence(event);
  return said.lead + ' ' + said.list.map((phrase) => phrase.words).join(', ');
};

// ---- 3 view ------------------------------------------------------------------------------------------

const hiddenNodes = new Set();
const hiddenGroups = new Set(QUIET_AT_FIRST);
let elastic = true;
let focus = story.length > 0;
let alone = false;  // nothing but the story is shown
// The story and how its messages came about.
const inTelling = new Set(story);
for (const place of storyMessages) if (messages[place].start >= 0) inTelling.add(messages[place].start);
// A history is judged when all is over: what is wrong with it happened before.
const climax = broken < 0 ? last : data.explanation && story.length > 1 ? story[story.length - 2] : broken;
let selected = climax;
let hovered = -1;
const at = new Float64Array(events.length);  // places on the time axis, in units of the axis
let shown = [];                              // visible events, ascending
const view = {x: 0, unit: 20};               // the unit at the left edge, pixels per unit

function groupOf(event) {
  if (event.kind <= RESET) return groupOfMessage[messages[event.subject].kind];
  if (event.kind === DISK) return 'disk';
  if (event.kind >= INVOKED && event.kind <= RETURNED) return 'clients';
  if (event.kind === FAULT || event.kind === FAULT_OVER || event.kind === REMARK) return 'faults';
  return null;
}
for (const i of story) {
  const group = groupOf(events[i]);
  if (group) hiddenGroups.delete(group);
}
const messageShown = (message) => alone ? storyMessages.has(message.place) && !hiddenNodes.has(message.from) && !hiddenNodes.has(message.to) : !hiddenGroups.has(groupOfMessage[message.kind]) && !hiddenNodes.has(message.from) && !hiddenNodes.has(message.to);
function isShown(event) {
  if (event.kind === VIOLATION) return true;
  if (alone) return inTelling.has(event.i);
  if (event.kind <= RESET) return messageShown(messages[event.subject]);
  // What a hidden kind of event changed can still be stepped to.
  const group = groupOf(event);
  if (group && hiddenGroups.has(group)) return false;
  return !(event.node && hiddenNodes.has(event.node));
}

function layOut() {
  shown = [];
  let x = 0, before = firstTime;
  for (const event of events) {
    if (isShown(event)) {
      if (elastic) {
        const wait = event.t - before;
        x += alone ? 1 + 1.5 * Math.min(1, Math.log1p(wait / 50) / Math.log1p(600)) : wait === 0 ? 0.3 : 0.5 + 2.2 * Math.min(1, Math.log1p(wait / 50) / Math.log1p(600));
        before = event.t;
      }
      shown.push(event.i);
    }
    at[event.i] = elastic ? x : (event.t - firstTime) / 1000;
  }
}

const stage = $('stage'), diagram = $('diagram'), overview = $('overview');
const GUTTER = 146, RIGHT = 22, AXIS = 24, STRIP = 17;
let width = 0, height = 0, faultRows = 0, clientRows = 0;
const px = (x) => GUTTER + (x - view.x) * view.unit;
const unpx = (pixel) => view.x + (pixel - GUTTER) / view.unit;
const room = () => Math.max(50, width - GUTTER - RIGHT);
const laneNodes = () => data.nodes.filter((node) => !hiddenNodes.has(node));
const nodesTop = () => AXIS + 6 + faultRows * STRIP + (faultRows ? 6 : 0);
const nodesBottom = () => height - 8 - (hiddenGroups.has('clients') ? 0 : clientRows * 9 + 16);
function laneY(node) {
  const nodes = laneNodes();
  const lane = (nodesBottom() - nodesTop()) / Math.max(1, nodes.length);
  return nodesTop() + lane * (nodes.indexOf(node) + 0.5);
}
const laneHeight = () => (nodesBottom() - nodesTop()) / Math.max(1, laneNodes().length);

function show(from, to) {
  if (!events.length) return;
  const margin = Math.max(0.6, (at[to] - at[from]) * 0.02);
  view.unit = Math.min(90, room() / Math.max(1e-6, at[to] - at[from] + 2 * margin));
  view.x = at[to] + margin - room() / view.unit;
}
// What led to the violation, if that fits; else the last events before it.
function showStory() {
  if (!shown.length) return;
  if (alone) return show(shown[0], shown[shown.length - 1]);
  const end = climax;
  const place = Math.max(0, floor(shown, (i) => i, end));
  const after = shown[Math.min(shown.length - 1, place + 3)];
  const few = shown[Math.max(0, place - (broken >= 0 ? 70 : 140))];
  let from = few;
  for (const i of story) {
    if (at[end] - at[i] <= 260) { from = Math.min(from, i); break; }
  }
  show(from, Math.max(after, end));
}

function reveal(i) {
  const x = px(at[i]);
  if (x < GUTTER + 30 || x > width - RIGHT - 10) view.x = at[i] - room() / view.unit * (x < GUTTER + 30 ? 0.25 : 0.75);
}
function select(i, move = true) {
  if (!events.length) return;
  selected = Math.max(0, Math.min(last, i));
  if (move) reveal(selected);
  update();
}
function step(direction) {
  const place = floor(shown, (i) => i, selected);
  const exact = shown[place] === selected;
  const next = direction > 0 ? place + 1 : exact ? place - 1 : place;
  if (next >= 0 && next < shown.length) select(shown[next]);
}
function stepStory(direction) {
  const next = direction > 0 ? story.find((i) => i > selected) : [...story].reverse().find((i) => i < selected);
  if (next !== undefined) select(next);
}
function zoom(factor, pixel = px(at[selected])) {
  pixel = Math.max(GUTTER, Math.min(width - RIGHT, pixel));
  const fixed = unpx(pixel);
  const whole = room() / Math.max(1, at[last] + 2);
  view.unit = Math.max(Math.min(whole, 2), Math.min(elastic ? 160 : 20000, view.unit * factor));
  view.x = fixed - (pixel - GUTTER) / view.unit;
  draw();
}

// ---- 4 drawing ---------------------------------------------------------------------------------------

let ink = {};
function readColours() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue('--' + name).trim();
  ink = {terms: []};
  for (const name of ['back', 'panel', 'line', 'faint', 'ink', 'soft', 'danger', 'warn', 'good']) ink[name] = colour(name);
  for (let i = 0; i < 8; ++i) ink.terms.push(colour('term-' + i));
}
const termColour = (term) => term > 0 ? ink.terms[term % 8] : ink.soft;

function sharp(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const box = canvas.getBoundingClientRect();
  if (canvas.width !== Math.round(box.width * ratio) || canvas.height !== Math.round(box.height * ratio)) {
    canvas.width = Math.round(box.width * ratio);
    canvas.height = Math.round(box.height * ratio);
  }
  const pen = canvas.getContext('2d');
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, box.width, box.height);
  return pen;
}

const hatches = new Map();
function hatch(pen, colour) {
  if (!hatches.has(colour)) {
    const tile = document.createElement('canvas');
    tile.width = tile.height = 8;
    const brush = tile.getContext('2d');
    brush.strokeStyle = colour;
    brush.lineWidth = 2;
    for (const shift of [-8, 0, 8]) {
      brush.beginPath();
      brush.moveTo(shift, 8);
      brush.lineTo(shift + 8, 0);
      brush.stroke();
    }
    hatches.set(colour, pen.createPattern(tile, 'repeat'));
  }
  return hatches.get(colour);
}

// Rows in which what overlaps in time stands one below the other.
function stack(items, first, lastPlace) {
  const ends = [];
  for (const item of items) {
    const begin = first(item);
    let row = ends.findIndex((end) => end < begin);
    if (row < 0) row = ends.length;
    ends[row] = lastPlace(item);
    item.row = row;
  }
  return ends.length;
}
const faultSpan = (fault) => [fault.first >= 0 ? fault.first : fault.begin < firstTime ? 0 : -1, fault.last >= 0 ? fault.last : last];
const drawnFaults = faults.filter((fault) => faultSpan(fault)[0] >= 0);
faultRows = Math.min(4, stack(drawnFaults, (fault) => faultSpan(fault)[0], (fault) => faultSpan(fault)[1]));
const operationSpan = (operation) => [operation.first >= 0 ? operation.first : 0, operation.last >= 0 ? operation.last : last];
for (const client of clients) {
  const own = operations.filter((operation) => operation.client === client);
  stack(own, (operation) => operationSpan(operation)[0], (operation) => operationSpan(operation)[1]);
}
clientRows = Math.min(8, clients.length);

// Places of what can be pointed at, of the last drawing.
let spots = [];
let drawn = {messages: 0, events: 0};

function draw() {
  const box = stage.getBoundingClientRect();
  width = box.width;
  height = box.height;
  const pen = sharp(diagram);
  spots = [];
  drawn = {messages: 0, events: 0};
  const low = unpx(GUTTER - 40), high = unpx(width);
  const from = Math.max(0, floor(shown, (i) => at[i], low));
  const to = floor(shown, (i) => at[i], high);
  const dense = (to - from) > room() / 5;
  pen.save();
  pen.beginPath();
  pen.rect(GUTTER - 4, 0, width - GUTTER + 4, height);
  pen.clip();
  drawAxis(pen);
  drawFaults(pen);
  drawLanes(pen);
  drawOperations(pen);
  drawMessages(pen, low, high, to - from);
  drawMarks(pen, from, to, dense);
  drawSelection(pen);
  pen.restore();
  drawOverview();
  placeLabels();
  document.body.dataset.messages = drawn.messages;
  document.body.dataset.selected = selected;
}

function timeAt(x) {
  if (!elastic) return firstTime + x * 1000;
  const place = floor(events, (event) => at[event.i], x);
  if (place < 0) return firstTime;
  if (place >= last) return events[last].t;
  const a = events[place], b = events[place + 1];
  const share = at[b.i] > at[a.i] ? (x - at[a.i]) / (at[b.i] - at[a.i]) : 0;
  return a.t + share * (b.t - a.t);
}
function drawAxis(pen) {
  pen.font = '11px system-ui, "DejaVu Sans", sans-serif';
  pen.textBaseline = 'middle';
  pen.textAlign = 'left';
  let before = -1;
  for (let x = GUTTER; x < width - 30; x += 96) {
    const t = Math.round(timeAt(unpx(x)));
    if (t === before || t < firstTime || unpx(x) > at[last] + 1 || unpx(x) < -1) continue;
    before = t;
    pen.strokeStyle = ink.line;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(Math.round(x) + 0.5, AXIS - 5);
    pen.lineTo(Math.round(x) + 0.5, height);
    pen.globalAlpha = 0.6;
    pen.stroke();
    pen.globalAlpha = 1;
    pen.fillStyle = ink.soft;
    pen.fillText(seconds(t, 6) + ' s', x + 4, AXIS - 10);
  }
}

function clipped(pen, words, space) {
  if (pen.measureText(words).width <= space) return words;
  while (words.length > 1 && pen.measureText(words + '\u2026').width > space) words = words.slice(0, -1);
  return words.length > 1 ? words + '\u2026' : '';
}

function drawFaults(pen) {
  if (hiddenGroups.has('faults')) return;
  for (const fault of drawnFaults) {
    if (fault.row >= faultRows) continue;
    const [first, end] = faultSpan(fault);
    const left = Math.max(GUTTER - 4, px(fault.first >= 0 ? at[first] : -99)), right = Math.min(width, px(fault.last >= 0 ? at[end] : at[last] + 1));
    if (right < GUTTER || left > width) continue;
    const y = AXIS + 4 + fault.row * STRIP;
    const network = fault.links.length > 0 || !fault.nodes.length;
    const colour = network ? ink.warn : ink.danger;
    for (const node of fault.nodes) {
      if (hiddenNodes.has(node)) continue;
      pen.fillStyle = colour;
      pen.globalAlpha = 0.07;
      pen.fillRect(left, laneY(node) - laneHeight() / 2 + 2, right - left, laneHeight() - 4);
    }
    pen.globalAlpha = 0.16;
    pen.fillStyle = colour;
    pen.fillRect(left, y, Math.max(2, right - left), STRIP - 3);
    pen.globalAlpha = 1;
    pen.fillRect(left, y, inStory.has(fault.first) ? 4 : 2, STRIP - 3);
    pen.fillStyle = ink.ink;
    pen.font = '11px system-ui, "DejaVu Sans", sans-serif';
    pen.textAlign = 'left';
    const words = faultWords(fault);
    const node = fault.nodes.length && !words.includes('node') ? 'node ' + fault.nodes.join(' ') + ': ' : '';
    pen.fillText(clipped(pen, node + words, right - left - 10), left + 8, y + STRIP / 2 - 1);
    spots.push({kind: 'box', left, right, top: y, bottom: y + STRIP - 3, event: fault.first >= 0 ? first : end, words: node + words});
  }
}

function drawLanes(pen) {
  for (const node of laneNodes()) {
    const y = laneY(node);
    const list = views[node];
    for (let k = 0; k < list.length; ) {
      const state = list[k].view;
      let next = k + 1;
      while (next < list.length && list[next].view.run === state.run && list[next].view.role === state.role && list[next].view.term === state.term) ++next;
      const left = Math.max(GUTTER - 4, k === 0 ? -1 : px(at[list[k].at]));
      const right = Math.min(width, next < list.length ? px(at[list[next].at]) : px(at[last] + 0.6));
      if (right > left && state.run !== ABSENT) drawState(pen, state, left, right, y);
      k = next;
    }
  }
}
function drawState(pen, state, left, right, y) {
  const colour = termColour(state.term);
  if (state.run === DOWN) {
    pen.strokeStyle = ink.danger;
    pen.globalAlpha = 0.55;
    pen.lineWidth = 1;
    pen.setLineDash([2, 5]);
    pen.beginPath();
    pen.moveTo(left, y);
    pen.lineTo(right, y);
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
    return;
  }
  if (state.run === FROZEN || state.run === REPAIRING) {
    pen.fillStyle = hatch(pen, state.run === FROZEN ? ink.soft : ink.warn);
    pen.globalAlpha = 0.6;
    pen.fillRect(left, y - 4, right - left, 8);
    pen.globalAlpha = 1;
    return;
  }
  const half = state.role === LEADER ? 8 : state.role === FOLLOWER ? 1.5 : 6;
  if (state.role === CANDIDATE || state.role === PRE_CANDIDATE) {
    pen.fillStyle = ink.back;
    pen.fillRect(left, y - half, right - left, 2 * half);
    pen.fillStyle = hatch(pen, colour);
    pen.globalAlpha = state.role === CANDIDATE ? 0.9 : 0.4;
  } else {
    pen.fillStyle = colour;
    pen.globalAlpha = state.role === LEADER ? 1 : 0.75;
  }
  pen.fillRect(left, y - half, right - left, 2 * half);
  pen.globalAlpha = 1;
  pen.font = '600 11px system-ui, "DejaVu Sans", sans-serif';
  pen.textAlign = 'left';
  const words = (state.role === LEADER ? 'leader ' : state.role === CANDIDATE ? 'candidate ' : state.role === PRE_CANDIDATE ? 'pre-vote ' : 'term ') +
    (state.role === PRE_CANDIDATE ? state.term + 1 : state.term);
  if (pen.measureText(words).width + 8 > right - left) return;
  pen.fillStyle = colour;
  pen.fillText(words, left + 4, y - Math.max(half, 4) - 8);
}

function operationsTop() { return nodesBottom() + 12; }
function drawOperations(pen) {
  if (hiddenGroups.has('clients')) return;
  clients.slice(0, clientRows).forEach((client, row) => {
    for (const operation of operations) {
      if (operation.client !== client) continue;
      const [first, end] = operationSpan(operation);
      const left = Math.max(GUTTER - 4, px(operation.first >= 0 ? at[first] : -99)), right = Math.min(width, px(operation.last >= 0 ? at[end] : at[last] + 1));
      if (right < GUTTER || left > width) continue;
      const y = operationsTop() + row * 9;
      const told = operation.first >= 0 && inStory.has(operation.first) || operation.last >= 0 && inStory.has(operation.last);
      pen.fillStyle = operation.last < 0 ? ink.soft : operation.acknowledged ? ink.good : ink.danger;
      pen.globalAlpha = told ? 1 : focus ? 0.22 : 0.5;
      pen.fillRect(left, y + Math.min(operation.row, 2) * 2, Math.max(1.5, right - left), 2.5);
      pen.globalAlpha = 1;
      spots.push({kind: 'box', left, right: Math.max(right, left + 3), top: y, bottom: y + 8, event: operation.first >= 0 ? first : end,
        words: operation.client + ': ' + operation.text + ' \u2192 ' + (operation.outcome || 'no answer yet')});
    }
  });
}

function drawMessages(pen, low, high, crowd) {
  const labels = view.unit > 13 && crowd < 260;
  for (const message of messages) {
    if (!messageShown(message)) continue;
    const begin = message.start >= 0 ? at[message.start] : -4;
    const end = message.ends.length ? at[message.ends[message.ends.length - 1]] : begin;
    if (Math.max(begin, end) < low || begin > high) continue;
    drawMessage(pen, message, begin, labels);
  }
}
function drawMessage(pen, message, begin, labels) {
  const y1 = laneY(message.from), y2 = laneY(message.to);
  const down = y2 > y1 ? 1 : -1;
  const x1 = px(begin), from = y1 + down * 9;
  const colour = termColour(message.term);
  const chosen = events[selected] && events[selected].kind <= RESET && messages[events[selected].subject] === message;
  const important = chosen || storyMessages.has(message.place);
  const quiet = message.kind === HEARTBEAT || message.kind === HEARTBEAT_ANSWER || message.kind === READ || message.kind === FORWARD;
  let alpha = important ? 1 : quiet ? 0.35 : 0.75;
  if (focus && !important) alpha *= 0.38;
  let labelled = false;
  const stroke = (x2, to, dashed) => {
    pen.beginPath();
    pen.moveTo(x1, from);
    pen.lineTo(x2, to);
    pen.setLineDash(dashed ? [5, 4] : []);
    pen.stroke();
    pen.setLineDash([]);
  };
  const label = (x2, to) => {
    if (labelled || !labels || (quiet && !important) || (focus && !important && view.unit < 26)) return;
    labelled = true;
    const words = shortMessage(message);
    const angle = Math.atan2(to - from, x2 - x1);
    const length = Math.hypot(x2 - x1, to - from);
    pen.font = (important ? '600 ' : '') + '10.5px system-ui, "DejaVu Sans", sans-serif';
    if (pen.measureText(words).width > length - 16) return;
    pen.save();
    pen.translate(x1 + (x2 - x1) * 0.5, from + (to - from) * 0.5);
    pen.rotate(angle);
    pen.textAlign = 'center';
    pen.lineWidth = 3;
    pen.strokeStyle = ink.back;
    pen.strokeText(words, 0, -6);
    pen.fillStyle = colour;
    pen.fillText(words, 0, -6);
    pen.restore();
  };
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = chosen ? 2.6 : important ? 2.2 : 1.1;
  pen.globalAlpha = alpha;
  ++drawn.messages;
  if (!message.ends.length && message.start >= 0) {  // still under way when the recording ended
    stroke(px(at[last] + 0.5), from + (y2 - down * 9 - from) * 0.6, true);
    spots.push({kind: 'line', x1, y1: from, x2: px(at[last] + 0.5), y2: from + (y2 - down * 9 - from) * 0.6, event: message.start});
  }
  let heldAt = -1;
  for (const i of message.ends) {
    const event = events[i];
    const x2 = px(at[i]);
    let to = y2 - down * (event.kind === ARRIVED ? 8 : 9);
    if (event.kind === HELD) { heldAt = i; to = from + (to - from) * 0.72; }
    const atOnce = (event.kind === LOST || event.kind === CUT) && at[i] - begin < 1.2;
    if (atOnce) {  // it never left: a stump in its direction
      const stump = Math.max(14, Math.min(40, view.unit * 1.2));
      const tip = from + down * Math.min(Math.abs(to - from) * 0.45, 30);
      stroke(x1 + stump, tip, false);
      cross(pen, x1 + stump, tip, event.kind === CUT);
      spots.push({kind: 'line', x1, y1: from, x2: x1 + stump, y2: tip, event: i});
      continue;
    }
    stroke(x2, to, event.kind === ARRIVED && (isLate(message, event) || heldAt >= 0));
    label(x2, to);
    pen.fillStyle = colour;
    if (event.kind === ARRIVED || event.kind === WAITS) {
      const angle = Math.atan2(to - from, x2 - x1), size = important ? 8 : 6;
      pen.beginPath();
      pen.moveTo(x2, to);
      pen.lineTo(x2 - size * Math.cos(angle - 0.42), to - size * Math.sin(angle - 0.42));
      pen.lineTo(x2 - size * Math.cos(angle + 0.42), to - size * Math.sin(angle + 0.42));
      pen.fill();
    } else if (event.kind === HELD) {
      pen.fillRect(x2 - 3, to - 4, 2, 8);
      pen.fillRect(x2 + 1, to - 4, 2, 8);
    } else {
      cross(pen, x2, to, event.kind === CUT);
    }
    spots.push({kind: 'line', x1, y1: from, x2, y2: to, event: i, start: message.start});
  }
  pen.globalAlpha = 1;
}
function cross(pen, x, y, cut) {
  pen.save();
  pen.strokeStyle = cut ? ink.warn : ink.danger;
  pen.globalAlpha = Math.max(pen.globalAlpha, 0.6);
  pen.lineWidth = 1.6;
  pen.beginPath();
  pen.moveTo(x - 3.5, y - 3.5);
  pen.lineTo(x + 3.5, y + 3.5);
  pen.moveTo(x + 3.5, y - 3.5);
  pen.lineTo(x - 3.5, y + 3.5);
  pen.stroke();
  pen.restore();
}

// Where an event is drawn.
function placeOf(event) {
  const x = px(at[event.i]);
  if (event.kind <= RESET) {
    const message = messages[event.subject];
    const node = event.node || (event.kind === LOST || event.kind === DOUBLED ? message.from : message.to);
    return {x, y: hiddenNodes.has(node) ? AXIS : laneY(node)};
  }
  if (event.kind === FAULT || event.kind === FAULT_OVER) return {x, y: AXIS + 4 + Math.min(3, faults[event.subject].row || 0) * STRIP + 7};
  if (event.kind === INVOKED || event.kind === RETURNED) {
    return {x, y: operationsTop() + Math.min(clientRows - 1, clients.indexOf(operations[event.subject].client)) * 9 + 3};
  }
  if (event.node && !hiddenNodes.has(event.node)) return {x, y: laneY(event.node)};
  return {x, y: AXIS};
}

function drawMarks(pen, from, to, dense) {
  for (let place = from; place <= to; ++place) {
    const event = events[shown[place]];
    if (!event) continue;
    const told = inStory.has(event.i);
    const {x, y} = placeOf(event);
    ++drawn.events;
    if (event.kind === FAULT || event.kind === FAULT_OVER) continue;  // drawn as bands
    const big = event.kind === KILLED || event.kind === POWER_LOSS || event.kind === STARTED || event.kind === VIOLATION;
    const small = !dense && event.node && (event.change || event.kind === DISK || event.kind === SAYS);
    if (!big && !told && !small) continue;
    pen.globalAlpha = big || told || !focus ? 1 : 0.55;
    if (event.kind === KILLED || event.kind === POWER_LOSS) {
      pen.strokeStyle = ink.danger;
      pen.lineWidth = 2.4;
      pen.beginPath();
      pen.moveTo(x - 6, y - 6);
      pen.lineTo(x + 6, y + 6);
      pen.moveTo(x + 6, y - 6);
      pen.lineTo(x - 6, y + 6);
      pen.stroke();
      if (event.kind === POWER_LOSS) {
        pen.beginPath();
        pen.arc(x, y, 9, 0, 7);
        pen.lineWidth = 1.4;
        pen.stroke();
      }
    } else if (event.kind === STARTED) {
      pen.fillStyle = ink.good;
      pen.beginPath();
      pen.moveTo(x - 4, y - 7);
      pen.lineTo(x + 7, y);
      pen.lineTo(x - 4, y + 7);
      pen.fill();
    } else if (event.kind === VIOLATION) {
      pen.strokeStyle = ink.danger;
      pen.lineWidth = 1.5;
      pen.setLineDash([4, 3]);
      pen.beginPath();
      pen.moveTo(x, AXIS);
      pen.lineTo(x, height);
      pen.stroke();
      pen.setLineDash([]);
      pen.fillStyle = ink.danger;
      pen.beginPath();
      pen.moveTo(x, y - 11);
      pen.lineTo(x + 11, y);
      pen.lineTo(x, y + 11);
      pen.lineTo(x - 11, y);
      pen.fill();
      pen.fillStyle = ink.back;
      pen.font = '700 13px system-ui, "DejaVu Sans", sans-serif';
      pen.textAlign = 'center';
      pen.fillText('!', x, y + 0.5);
    } else {
      const disk = event.kind === DISK;
      const state = event.node ? viewOf(event.node, event.i) : null;
      const leads = state && state.role === LEADER && state.run === UP;
      pen.fillStyle = leads ? ink.back : state ? termColour(state.term) : ink.soft;
      pen.strokeStyle = leads ? termColour(state.term) : ink.back;
      pen.lineWidth = 1.5;
      pen.beginPath();
      if (disk) pen.rect(x - 3, y - 3, 6, 6); else pen.arc(x, y, told ? 4.5 : 3.2, 0, 7);
      pen.fill();
      pen.stroke();
    }
    if (told && event.kind !== VIOLATION) {
      pen.strokeStyle = ink.ink;
      pen.lineWidth = 1.4;
      pen.beginPath();
      pen.arc(x, y, 8, 0, 7);
      pen.stroke();
    }
    pen.globalAlpha = 1;
    spots.push({kind: 'spot', x, y, event: event.i});
  }
}

function drawSelection(pen) {
  const event = events[selected];
  if (!event) return;
  const x = px(at[selected]);
  pen.strokeStyle = ink.ink;
  pen.globalAlpha = 0.35;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(x, AXIS - 4);
  pen.lineTo(x, height);
  pen.stroke();
  pen.globalAlpha = 1;
  const {y} = placeOf(event);
  if (event.kind !== VIOLATION) {
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(x, y, 11, 0, 7);
    pen.stroke();
  }
  pen.font = '600 11px system-ui, "DejaVu Sans", sans-serif';
  pen.fillStyle = ink.ink;
  const words = seconds(event.t) + ' s';
  const space = pen.measureText(words).width + 10;
  const left = Math.max(GUTTER, Math.min(width - space - 2, x - space / 2));
  pen.fillRect(left, 3, space, 17);
  pen.fillStyle = ink.back;
  pen.textAlign = 'left';
  pen.fillText(words, left + 5, 12);
}

function drawOverview() {
  const pen = sharp(overview);
  const box = overview.getBoundingClientRect();
  if (!events.length) return;
  const inner = box.width - 28;
  const place = (x) => 14 + x / Math.max(1e-6, at[last]) * inner;
  const slots = new Uint16Array(Math.ceil(inner / 3) + 1);
  for (const i of shown) ++slots[Math.floor((place(at[i]) - 14) / 3)];
  const most = Math.max(...slots, 1);
  pen.fillStyle = ink.soft;
  pen.globalAlpha = 0.45;
  slots.forEach((count, slot) => {
    const tall = count / most * 18;
    pen.fillRect(14 + slot * 3, 34 - tall, 2, tall);
  });
  pen.globalAlpha = 1;
  // Who led.
  for (const node of data.nodes) {
    const list = views[node];
    list.forEach((item, k) => {
      if (item.view.role !== LEADER || item.view.run !== UP) return;
      const left = place(Math.max(0, at[Math.max(0, item.at)]));
      const right = place(k + 1 < list.length ? at[list[k + 1].at] : at[last]);
      pen.fillStyle = termColour(item.view.term);
      pen.fillRect(left, 36, Math.max(1, right - left), 3);
    });
  }
  pen.fillStyle = ink.danger;
  for (const event of events) {
    if (event.kind === KILLED || event.kind === POWER_LOSS) pen.fillRect(place(at[event.i]) - 1, 5, 2, 8);
  }
  pen.fillStyle = ink.ink;
  for (const i of story) pen.fillRect(place(at[i]) - 0.75, 12, 1.5, 22);
  if (broken >= 0) {
    pen.fillStyle = ink.danger;
    pen.fillRect(place(at[broken]) - 1.5, 3, 3, 32);
  }
  for (const i of found) {
    pen.fillStyle = ink.warn;
    pen.fillRect(place(at[i]) - 1, 3, 2, 5);
  }
  const left = Math.max(14, place(view.x)), right = Math.min(14 + inner, place(view.x + room() / view.unit));
  pen.strokeStyle = ink.ink;
  pen.lineWidth = 1.5;
  pen.strokeRect(left, 2, Math.max(4, right - left), 36);
}

function placeLabels() {
  const lanes = $('lanes');
  const nodes = laneNodes();
  if (lanes.dataset.nodes !== nodes.join()) {
    lanes.dataset.nodes = nodes.join();
    lanes.replaceChildren(...nodes.map((node) => make('div', {className: 'lane', id: 'lane-' + node}, make('b', {}, 'Node ' + node), make('span', {className: 'role'}), make('span', {className: 'more'}))),
      make('div', {className: 'strip', id: 'fault-strip'}, 'Faults'), make('div', {className: 'strip', id: 'client-strip'}, 'Clients'));
  }
  for (const node of nodes) {
    const label = $('lane-' + node);
    const state = viewOf(node, selected);
    label.style.top = laneY(node) + 'px';
    const role = label.querySelector('.role');
    role.textContent = roleWords(state) + (state.run === ABSENT ? '' : ' \u00b7 term ' + state.term);
    role.classList.toggle('down', state.run === DOWN);
    label.querySelector('.more').textContent = state.run === ABSENT ? '' : 'log ' + lastOf(state) + ' \u00b7 commit ' + state.commit;
  }
  $('fault-strip').style.top = AXIS + 3 + 'px';
  $('fault-strip').hidden = !faultRows || hiddenGroups.has('faults');
  $('client-strip').style.top = operationsTop() - 4 + 'px';
  $('client-strip').hidden = hiddenGroups.has('clients') || !clients.length;
}

// ---- 5 panels ----------------------------------------------------------------------------------------

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
function phraseList(list) {
  return list.flatMap((phrase, k) => [k ? ', ' : ' ', make('span', {className: phrase.bad ? 'bad' : ''}, phrase.words)]);
}

function showVerdict() {
  const box = $('verdict');
  const verdict = data.violation;
  if (!verdict) {
    box.replaceChildren(make('h2', {}, 'Verdict'), make('p', {}, 'No oracle was broken. The last ' + events.length.toLocaleString('en') + ' of ' + data.total.toLocaleString('en') + ' events are here.'));
    return;
  }
  box.className = 'broken';
  box.replaceChildren(make('span', {className: 'id'}, verdict.id), make('span', {className: 'name'}, verdict.name + ' is violated at ' + seconds(verdict.time, 3) + ' s'),
    make('p', {className: 'must'}, verdict.sentence), make('p', {className: 'found'}, verdict.text));
  if (data.explanation) box.append(make('pre', {}, data.explanation));
}

function showStoryList() {
  const box = $('story');
  if (!data.violation) {
    box.replaceChildren(make('h2', {}, 'What stands out'));
    const list = make('ol');
    // Elections and ends of processes, the last of them.
    const items = events.filter((event) => event.kind === KILLED || event.kind === POWER_LOSS ||
      (event.change && event.change.r === LEADER)).slice(-14);
    for (const event of items) list.append(storyItem(event));
    box.append(list);
    return;
  }
  box.replaceChildren(make('h2', {}, 'What led to it'));
  const list = make('ol');
  for (const i of story) list.append(storyItem(events[i]));
  box.append(list);
  if (events.length < data.total) {
    box.append(make('p', {className: 'note'}, 'Chosen by the nodes, terms and entries that the violation names, out of the last ' +
      events.length.toLocaleString('en') + ' of ' + data.total.toLocaleString('en') + ' events. What came earlier is not here (--html-events keeps more).'));
  } else {
    box.append(make('p', {className: 'note'}, 'Chosen by the nodes, terms and entries that the violation names.'));
  }
}
function storyItem(event) {
  const said = sentence(event);
  const item = make('li', {tabIndex: 0, className: event.kind === VIOLATION ? 'broke' : '', onclick: () => select(event.i)},
    make('time', {}, seconds(event.t, 3) + ' s'), make('span', {}, said.lead, ...phraseList(said.list)));
  item.dataset.event = event.i;
  item.onkeydown = (key) => { if (key.key === 'Enter') select(event.i); };
  return item;
}

function swatch(term) {
  const box = make('span', {className: 'swatch'});
  box.style.background = termColour(term);
  return box;
}
function row(list, name, ...values) { list.append(make('dt', {}, name), make('dd', {}, ...values)); }

function showEvent() {
  const box = $('event');
  const event = events[selected];
  if (!event) return;
  const list = make('dl');
  const place = floor(shown, (i) => i, selected);
  row(list, 'Time', seconds(event.t) + ' s');
  if (event.kind <= RESET) {
    const message = messages[event.subject];
    row(list, 'Message', messageNames[message.kind] + (message.refusal ? ', refused' : ''));
    if (message.term) row(list, 'Term', swatch(message.term), String(message.term));
    row(list, 'Sent', seconds(message.sent) + ' s by node ' + message.from);
    const ends = message.ends.map((i) => {
      const end = events[i];
      const how = {[ARRIVED]: 'arrived', [IGNORED]: 'found nobody', [WAITS]: 'waited for the paused node', [LOST]: 'lost', [CUT]: 'cut', [HELD]: 'held back', [RESET]: 'gone with the connection'}[end.kind];
      return how + ' after ' + span(end.t - message.sent) + (isLate(message, end) ? ', when node ' + message.to + ' was in term ' + viewBefore(message.to, i).term : '');
    });
    row(list, message.doubled ? 'Both copies' : 'Then', ends.join('; ') || 'still under way at the end');
  }
  if (event.kind >= INVOKED && event.kind <= RETURNED) {
    const operation = operations[event.subject];
    row(list, 'Called', seconds(operation.begin) + ' s');
    row(list, 'Outcome', operation.end < 0 ? 'none yet' : operation.outcome + ', after ' + span(operation.end - operation.begin));
  }
  if (event.kind === FAULT || event.kind === FAULT_OVER) {
    const fault = faults[event.subject];
    row(list, 'Kind', fault.name);
    row(list, 'Lasts', seconds(fault.begin, 3) + ' s to ' + (fault.end < 0 ? 'the end' : seconds(fault.end, 3) + ' s'));
  }
  if (event.kind === VIOLATION && event.node) {
    // What the node did just before it was judged.
    let cause = selected - 1;
    while (cause >= 0 && events[cause].node !== event.node) --cause;
    if (cause >= 0) {
      const said = sentence(events[cause]);
      row(list, 'Just before', said.lead, ...phraseList(said.list));
    }
  }
  const changes = phrasesOf(event);
  const rest = event.kind === TURN ? changes.slice(1) : changes;
  box.replaceChildren(
    make('h2', {}, 'Event ' + (event.i + 1 + data.total - events.length).toLocaleString('en') + ' of ' + data.total.toLocaleString('en') +
      (shown[place] === selected ? '' : ' (hidden by a filter)')),
    make('p', {className: 'what' + (event.kind === VIOLATION ? ' bad' : '')}, event.kind === VIOLATION ? 'VIOLATION' + (event.node ? ' at node ' + event.node : '') : headline(event)), list);
  if (rest.length) {
    box.append(make('ul', {}, ...rest.map((phrase) => make('li', {className: phrase.bad ? 'bad' : ''}, 'node ' + event.node + ' ' + phrase.words))));
  }
}

const CELL = 26;
function showNodes() {
  const box = $('nodes');
  const event = events[selected];
  $('instant').textContent = event ? 'at ' + seconds(event.t) + ' s, after event ' + (event.i + 1 + data.total - events.length).toLocaleString('en') : '';
  const states = data.nodes.map((node) => [node, viewOf(node, selected)]).filter(([, state]) => state.run !== ABSENT);
  const space = Math.max(4, Math.floor((box.clientWidth - 470) / CELL));
  const end = Math.max(1, ...states.map(([, state]) => lastOf(state)));
  const start = Math.max(Math.min(...states.map(([, state]) => state.base + 1), end), end - space + 1);
  const rows = [make('span', {className: 'head'}, 'node'), make('span', {className: 'head'}, 'role'), make('span', {className: 'head'}, 'voted for'),
    make('span', {className: 'head', title: 'entries it knows to be committed / has applied / says are on its disk'}, 'commit / applied / on disk')];
  const heads = make('div', {className: 'log heads'});
  for (let index = start; index <= end; ++index) heads.append(make('span', {}, String(index)));
  rows.push(heads);
  for (const [node, state] of states) {
    const changed = event && event.node === node && !!event.change;
    const item = make('div', {className: 'row' + (changed ? ' changed' : '')});
    item.dataset.node = node;
    const off = state.run === DOWN;
    item.append(
      make('span', {className: 'name'}, make('i'), 'Node ' + node),
      make('span', {className: off ? 'off' : ''}, swatch(state.term), roleWords(state) + ' \u00b7 term ' + state.term),
      make('span', {}, state.vote ? 'node ' + state.vote : '\u2013'),
      make('span', {}, state.commit + ' / ' + state.applied + ' / ' + (state.durable || '\u2013') + (state.promised ? ', lost to ' + state.promised : '')),
      logCells(state, states, start, end));
    rows.push(item);
  }
  box.replaceChildren(...rows);
}
function logCells(state, states, start, end) {
  const log = make('div', {className: 'log'});
  for (let index = start; index <= end; ++index) {
    const entry = entryAt(state, index);
    if (index <= state.base) {
      let stop = index;
      while (stop < end && stop < state.base) ++stop;
      const block = make('span', {className: 'compacted', title: 'compacted: a snapshot stands for entries up to ' + state.base});
      const cells = stop - index + 1;
      block.style.flexBasis = block.style.width = cells * CELL - 2 + 'px';
      log.append(block);
      index = stop;
      continue;
    }
    if (!entry) {
      log.append(index <= state.promised ? make('span', {className: 'cell lost', title: 'lost, and still promised'}, '?') : make('span', {className: 'none'}));
      continue;
    }
    const unsynced = index > state.durable, committed = index <= state.commit;
    const cell = make('span', {className: 'cell' + (unsynced ? ' unsynced' : committed ? '' : ' pending') + (index <= state.applied ? ' applied' : ''),
      title: plainEntry(entry) + (unsynced ? '; not on its disk' : committed ? '; committed' : '; on its disk, not known to be committed')}, String(entry.term));
    cell.style.background = termColour(entry.term);
    cell.style.borderColor = termColour(entry.term);
    const other = states.some(([, view]) => { const theirs = entryAt(view, index); return theirs && theirs !== entry; });
    if (other) cell.classList.add('differs');
    log.append(cell);
  }
  return log;
}

function showLegend() {
  const icon = (body) => '<svg width="26" height="14" viewBox="0 0 26 14">' + body + '</svg>';
  const colour = termColour(1), other = termColour(2);
  const items = [
    [icon('<rect x="1" y="2" width="24" height="10" fill="' + colour + '"/>'), 'leader'],
    [icon('<g stroke="' + colour + '" stroke-width="2"><path d="M1 12 9 3M8 12l8-9M15 12l8-9"/></g>'), 'candidate'],
    [icon('<rect x="1" y="5.5" width="24" height="3" fill="' + colour + '"/>'), 'follower'],
    [icon('<rect x="1" y="4" width="12" height="6" fill="' + colour + '"/><rect x="13" y="4" width="12" height="6" fill="' + other + '"/>'), 'a colour is a term'],
    [icon('<path d="M2 2 22 11" stroke="' + colour + '" stroke-width="1.5"/><path d="M24 12l-8-1 3-5z" fill="' + colour + '"/>'), 'message'],
    [icon('<path d="M2 2 22 11" stroke="' + colour + '" stroke-width="1.5" stroke-dasharray="5 3"/>'), 'late: of a term left behind, or held back'],
    [icon('<path d="M2 2 14 8" stroke="' + colour + '" stroke-width="1.5"/><path d="M11 4l7 7M18 4l-7 7" stroke="' + ink.danger + '" stroke-width="1.6"/>'), 'lost'],
    [icon('<path d="M2 2 14 8" stroke="' + colour + '" stroke-width="1.5"/><path d="M11 4l7 7M18 4l-7 7" stroke="' + ink.warn + '" stroke-width="1.6"/>'), 'cut'],
    [icon('<path d="M8 2l10 10M18 2l-10 10" stroke="' + ink.danger + '" stroke-width="2.2"/>'), 'killed; with a ring: power lost'],
    [icon('<path d="M9 1l10 6-10 6z" fill="' + ink.good + '"/>'), 'starts'],
    [icon('<rect x="10" y="4" width="6" height="6" fill="' + colour + '"/>'), 'disk done'],
    [icon('<circle cx="13" cy="7" r="5.5" fill="none" stroke="' + ink.ink + '" stroke-width="1.4"/><circle cx="13" cy="7" r="3" fill="' + colour + '"/>'), 'part of the story'],
    [icon('<rect x="2" y="2" width="10" height="10" rx="2" fill="' + colour + '"/><rect x="14.5" y="2.5" width="9" height="9" rx="2" fill="none" stroke="' + colour + '"/>'), 'entry: committed, not yet'],
    [icon('<rect x="7.5" y="2.5" width="10" height="9" rx="2" fill="none" stroke="' + colour + '" stroke-dasharray="2 2"/>'), 'not on its disk'],
  ];
  $('legend').innerHTML = items.map(([picture, words]) => '<span>' + picture + words + '</span>').join('');
}

let updating = false;
function update() {
  if (updating) return;
  updating = true;
  showEvent();
  showNodes();
  for (const item of document.querySelectorAll('#story li')) {
    const current = Number(item.dataset.event) === selected;
    if (current) item.setAttribute('aria-current', 'true'); else item.removeAttribute('aria-current');
    if (current) {
      const box = $('story');
      const low = item.offsetTop - box.offsetTop;
      if (low < box.scrollTop) box.scrollTop = low - 30;
      else if (low + item.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = low + item.offsetHeight - box.clientHeight + 12;
    }
  }
  draw();
  updating = false;
}
function refilter() {
  const anchor = at[selected] - view.x;
  layOut();
  view.x = at[selected] - anchor;
  update();
}

// ---- 6 input -----------------------------------------------------------------------------------------

let found = [];
let haystack = null;
function search(words) {
  words = words.trim().toLowerCase();
  if (words && !haystack) haystack = events.map((event) => (headline(event) + ' ' + plain(event)).toLowerCase());
  found = words ? events.filter((event) => haystack[event.i].includes(words)).map((event) => event.i) : [];
  $('found').textContent = words ? found.length.toLocaleString('en') + ' found' : '';
  draw();
}
function nextFound(direction) {
  if (!found.length) return;
  let next = direction > 0 ? found.find((i) => i > selected) : [...found].reverse().find((i) => i < selected);
  if (next === undefined) next = direction > 0 ? found[0] : found[found.length - 1];
  select(next);
  $('found').textContent = (found.indexOf(next) + 1).toLocaleString('en') + ' / ' + found.length.toLocaleString('en');
}

function distance(spot, x, y) {
  if (spot.kind === 'box') {
    const inside = x >= spot.left - 1 && x <= spot.right + 1 && y >= spot.top && y <= spot.bottom;
    return inside ? 3 : Infinity;
  }
  if (spot.kind === 'spot') return Math.max(0, Math.hypot(spot.x - x, spot.y - y) - 6);
  const dx = spot.x2 - spot.x1, dy = spot.y2 - spot.y1;
  const share = Math.max(0, Math.min(1, ((x - spot.x1) * dx + (y - spot.y1) * dy) / Math.max(1, dx * dx + dy * dy)));
  return Math.hypot(spot.x1 + share * dx - x, spot.y1 + share * dy - y) + 1;
}
function pick(x, y) {
  let best = null, least = 7;
  for (const spot of spots) {
    const away = distance(spot, x, y);
    if (away < least) { least = away; best = spot; }
  }
  return best;
}
function eventOf(spot, x) {
  if (spot.kind !== 'line' || spot.start === undefined || spot.start < 0) return spot.event;
  return Math.abs(x - spot.x1) < Math.abs(x - spot.x2) ? spot.start : spot.event;  // the nearer end
}
const inside = (event, element) => {
  const box = element.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

let drag = null;
diagram.addEventListener('pointerdown', (event) => {
  drag = {x: event.clientX, from: view.x, moved: false};
  diagram.setPointerCapture(event.pointerId);
});
diagram.addEventListener('pointermove', (event) => {
  const [x, y] = inside(event, diagram);
  if (drag) {
    if (Math.abs(event.clientX - drag.x) > 3) drag.moved = true;
    if (!drag.moved) return;
    diagram.classList.add('dragging');
    $('tip').hidden = true;
    view.x = drag.from - (event.clientX - drag.x) / view.unit;
    draw();
    return;
  }
  const spot = pick(x, y);
  const tip = $('tip');
  tip.hidden = !spot;
  if (!spot) return;
  const hit = events[eventOf(spot, x)];
  tip.replaceChildren(make('div', {}, spot.words || headline(hit)), ...phrasesOf(hit).map((phrase) => make('div', {className: phrase.bad ? 'bad' : ''}, phrase.words)));
  tip.style.left = Math.min(x + 14, width - Math.min(430, tip.offsetWidth + 10)) + 'px';
  tip.style.top = (y + 18 + tip.offsetHeight > height ? y - tip.offsetHeight - 10 : y + 18) + 'px';
});
diagram.addEventListener('pointerup', (event) => {
  const moved = drag && drag.moved;
  drag = null;
  diagram.classList.remove('dragging');
  if (moved) return;
  const [x, y] = inside(event, diagram);
  const spot = pick(x, y);
  if (spot) return select(eventOf(spot, x), false);
  const place = floor(shown, (i) => at[i], unpx(x));
  if (place >= 0) select(shown[place], false);
});
diagram.addEventListener('pointerleave', () => { $('tip').hidden = true; });
diagram.addEventListener('wheel', (event) => {
  event.preventDefault();
  if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    view.x += (event.deltaX || event.deltaY) / view.unit;
    draw();
  } else {
    zoom(Math.exp(-event.deltaY / 400), inside(event, diagram)[0]);
  }
}, {passive: false});
const scrub = (event) => {
  const [x] = inside(event, overview);
  const share = (x - 14) / Math.max(1, overview.getBoundingClientRect().width - 28);
  view.x = share * at[last] - room() / view.unit / 2;
  draw();
};
overview.addEventListener('pointerdown', (event) => { overview.setPointerCapture(event.pointerId); overview.dragged = true; scrub(event); });
overview.addEventListener('pointermove', (event) => { if (overview.dragged) scrub(event); });
overview.addEventListener('pointerup', () => { overview.dragged = false; });

function toggleScale() {
  elastic = !elastic;
  $('scale').textContent = elastic ? 'Elastic time' : 'True time';
  layOut();
  showStory();
  reveal(selected);
  update();
}
function toggleTheme() {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === 'dark' ? 'light' : 'dark';
  repaint();
}
function repaint() {
  readColours();
  hatches.clear();
  showLegend();
  update();
}
function toggleFocus() {
  focus = !focus;
  $('focus').setAttribute('aria-pressed', String(focus));
  draw();
}
function toggleAlone() {
  if (!story.length) return;
  alone = !alone;
  $('alone').setAttribute('aria-pressed', String(alone));
  layOut();
  showStory();
  if (!alone) reveal(selected);
  update();
}
const goViolation = () => { if (broken >= 0) { showStory(); select(broken); } };

const KEYS = [
  ['\u2190  \u2192', 'event before, next event', (event) => event.shiftKey ? null : event.key === 'ArrowLeft' ? () => step(-1) : event.key === 'ArrowRight' ? () => step(1) : null],
  ['Shift \u2190  \u2192', 'the same within the story', (event) => !event.shiftKey ? null : event.key === 'ArrowLeft' ? () => stepStory(-1) : event.key === 'ArrowRight' ? () => stepStory(1) : null],
  ['Home  End', 'first and last event', (event) => event.key === 'Home' ? () => select(shown[0]) : event.key === 'End' ? () => select(shown[shown.length - 1]) : null],
  ['v', 'to the violation', (event) => event.key === 'v' ? goViolation : null],
  ['+  \u2212', 'zoom; also the wheel. Drag to move', (event) => event.key === '+' || event.key === '=' ? () => zoom(1.35) : event.key === '-' ? () => zoom(1 / 1.35) : null],
  ['f  a', 'fit the story; all events', (event) => event.key === 'f' ? () => { showStory(); draw(); } : event.key === 'a' ? () => { show(0, last); draw(); } : null],
  ['o', 'elastic or true time', (event) => event.key === 'o' ? toggleScale : null],
  ['h', 'highlight the story', (event) => event.key === 'h' ? toggleFocus : null],
  ['s', 'nothing but the story', (event) => event.key === 's' ? toggleAlone : null],
  ['/', 'search; Enter for the next, Shift Enter for the one before', (event) => event.key === '/' ? () => $('search').focus() : null],
  ['1 \u2026 9', 'show or hide a node', (event) => /^[1-9]$/.test(event.key) ? () => { const button = $('node-' + event.key); if (button) button.click(); } : null],
  ['t', 'light or dark', (event) => event.key === 't' ? toggleTheme : null],
  ['?', 'this', (event) => event.key === '?' ? () => $('keys').showModal() : null],
];
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === $('search')) {
    if (event.key === 'Enter') nextFound(event.shiftKey ? -1 : 1);
    if (event.key === 'Escape') { $('search').value = ''; search(''); diagram.focus(); }
    return;
  }
  for (const [, , match] of KEYS) {
    const action = match(event);
    if (action) { event.preventDefault(); action(); return; }
  }
});

function toggleButton(set, value, label, id, title) {
  const button = make('button', {id, title}, label);
  button.setAttribute('aria-pressed', String(!set.has(value)));
  button.onclick = () => {
    if (set.has(value)) set.delete(value); else set.add(value);
    button.setAttribute('aria-pressed', String(!set.has(value)));
    refilter();
  };
  return button;
}

function begin() {
  document.title = 'raftkv-sim: seed ' + data.seed + (data.violation ? ', ' + data.violation.id + ' ' + data.violation.name : '');
  $('title').replaceChildren('Seed ' + data.seed, make('small', {}, data.profile + ' \u00b7 ' + data.nodes.length + ' nodes'));
  $('node-filters').append(...data.nodes.map((node) => toggleButton(hiddenNodes, node, String(node), 'node-' + node, 'Show or hide node ' + node)));
  $('kind-filters').append(...GROUPS.map(([name, label]) => toggleButton(hiddenGroups, name, label, 'kind-' + name, 'Show or hide ' + label.toLowerCase())));
  $('step-back').onclick = () => step(-1);
  $('step-forward').onclick = () => step(1);
  $('go-violation').onclick = goViolation;
  $('go-violation').disabled = broken < 0;
  $('zoom-in').onclick = () => zoom(1.35);
  $('zoom-out').onclick = () => zoom(1 / 1.35);
  $('fit-story').onclick = () => { showStory(); draw(); };
  $('fit-all').onclick = () => { show(0, last); draw(); };
  $('scale').onclick = toggleScale;
  $('scale').textContent = 'Elastic time';
  $('focus').onclick = toggleFocus;
  $('focus').setAttribute('aria-pressed', String(focus));
  $('focus').disabled = !story.length;
  $('alone').onclick = toggleAlone;
  $('alone').setAttribute('aria-pressed', 'false');
  $('alone').disabled = !story.length;
  $('theme').onclick = toggleTheme;
  $('help').onclick = () => $('keys').showModal();
  $('search').oninput = (event) => search(event.target.value);
  const keys = make('dl');
  for (const [key, what] of KEYS) row(keys, key, what);
  $('keys').replaceChildren(make('h2', {}, 'Keys'), keys, make('h2', {}, 'This run'), make('pre', {}, data.about + '\n' + data.replay),
    make('p', {}, make('br'), make('button', {onclick: () => $('keys').close()}, 'Close')));
  const dark = window.matchMedia('(prefers-color-scheme: dark)');
  document.documentElement.dataset.theme = dark.matches ? 'dark' : 'light';
  dark.addEventListener('change', () => { document.documentElement.dataset.theme = dark.matches ? 'dark' : 'light'; repaint(); });
  readColours();
  showLegend();
  showVerdict();
  showStoryList();
  layOut();
  update();      // gives everything its size
  showStory();
  update();
  new ResizeObserver(() => update()).observe(stage);
  document.body.dataset.ready = 'true';
}
begin();
})();
