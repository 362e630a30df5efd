// Keeps the page as the daemon is, and does a form's work without leaving the
// page. Without this script every form works by a reload.
'use strict';

const shown = new Map();
const notice = document.getElementById('notice');
const offline = document.getElementById('offline');

// merge makes a list's children those of html, by their data-key: what is still
// there stays, with its focus, and a screen reader hears only what is new.
function merge(list, html) {
  const next = document.createElement('template');
  next.innerHTML = html;
  const have = new Map(Array.from(list.children, (e) => [e.dataset.key, e]));
  let place = list.firstElementChild;
  for (const fresh of Array.from(next.content.children)) {
    const old = have.get(fresh.dataset.key);
    have.delete(fresh.dataset.key);
    if (old && old === place) {
      place = place.nextElementSibling;
    } else {
      if (!old) fresh.classList.add('fresh');
      list.insertBefore(old || fresh, place);
    }
  }
  for (const gone of have.values()) gone.remove();
}

function show({id, html}) {
  const e = document.getElementById(id);
  if (!e || shown.get(id) === html) return;
  const first = !shown.has(id);
  shown.set(id, html);
  if ('keyed' in e.dataset) merge(e, html);
  else if (!first || e.innerHTML !== html) e.innerHTML = html;
}

function live() {
  const source = new EventSource('/live');
  source.onopen = () => { offline.hidden = true; };
  source.onmessage = (m) => show(JSON.parse(m.data));
  source.onerror = () => {
    offline.hidden = false;
    // After a refusal the browser does not try again by itself.
    if (source.readyState === EventSource.CLOSED) setTimeout(live, 3000);
  };
}

function say(text) {
  notice.textContent = text;
  notice.hidden = text === '';
}

// One at a time: the digits of a code must arrive in their order.
let queue = Promise.resolve();

function send(form, submitter) {
  const body = new URLSearchParams(new FormData(form, submitter));
  queue = queue.then(async () => {
    try {
      const answer = await fetch(form.action, {method: 'POST', body, headers: {Accept: 'application/json'}});
      say(answer.ok ? '' : (await answer.json()).error.message);
    } catch {
      say('The daemon does not answer.');
    }
  });
}

document.addEventListener('submit', (e) => {
  e.preventDefault();
  send(e.target, e.submitter);
});

// With the focus on a keypad, the keyboard presses its keys.
document.addEventListener('keydown', (e) => {
  const pad = e.target.closest('.keypad');
  if (!pad || e.ctrlKey || e.altKey || e.metaKey) return;
  const key = Array.from(pad.querySelectorAll('button')).find((b) => b.value === e.key);
  if (!key) return;
  e.preventDefault();
  key.focus();
  send(pad, key);
});

document.addEventListener('focusin', (e) => {
  if (e.target.name === 'identification' && e.target.type !== 'hidden') e.target.select();
});

live();
