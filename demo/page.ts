/**
 * The story as one self-contained HTML page: a sequence diagram that reads on a phone and on a desk, by day and by night.
 *
 * @module
 */
import { caption, type Line } from './story.ts'

const escapeHtml = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

export interface Check { readonly text: string; readonly done: boolean }

export function drawPage(lines: readonly Line[], checks: readonly Check[], summary: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>ws-reliablemessaging: one conversation</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style></head>
<body><main>
<h1>One conversation, two processes, one crash</h1>
<p>${escapeHtml(summary)}</p>
<ul class="checks">${checks.map((check) => `<li class="${check.done ? 'done' : 'open'}">${check.done ? '✓' : '✗'} ${escapeHtml(check.text)}</li>`).join('\n')}</ul>
<div class="heads"><b>client</b><b>service</b></div>
<ol class="story">
${lines.map(drawLine).join('\n')}
</ol>
</main></body></html>
`
}

function drawLine(line: Line): string {
  if (line.kind === 'event') return `<li class="event ${line.at}"><span>${escapeHtml(line.text)}</span></li>`
  const { title, details } = caption(line)
  const [main, ...rest] = details.split(' · ')
  const chips = details === '' ? '' : [main ?? '', ...rest].map((part) => `<span class="${part.split(/[ :]/)[0]}">${escapeHtml(part)}</span>`).join('')
  return `<li class="message to-${line.to}${line.lost ? ' lost' : ''}" data-n="${line.n}">
<div class="arrow"><span class="title">${escapeHtml(title)}</span><span class="time">${line.lost ? 'lost on purpose · ' : ''}${line.atMs} ms${line.shape === undefined ? '' : ` · ${line.shape.bytes} bytes`}</span></div>
<div class="details">${chips}</div></li>`
}

const STYLE = `
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--soft:#59636e;--line:#c8d1da;--go:#0a6b3b;--back:#0b57c9;--bad:#b3261e;--chip:#eef2f6;--event:#7a4d00}
@media(prefers-color-scheme:dark){:root{--ink:#e8edf2;--paper:#12161b;--soft:#a3adb8;--line:#3a444f;--go:#5fd39a;--back:#82b4ff;--bad:#ff8a80;--chip:#222a33;--event:#f0bd68}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.45 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:1rem}
h1{font-size:1.4rem;line-height:1.2;margin:.5rem 0}
.checks{list-style:none;padding:0;margin:1rem 0;display:grid;gap:.15rem}
.checks .done{color:var(--go)}.checks .open{color:var(--bad);font-weight:700}
.heads{display:flex;justify-content:space-between;position:sticky;top:0;background:var(--paper);padding:.4rem 0;border-bottom:1px solid var(--line)}
.story{list-style:none;margin:0;padding:0;border-left:3px solid var(--line);border-right:3px solid var(--line)}
.story li{padding:.5rem .75rem}
.message .arrow{display:flex;gap:.75rem;align-items:baseline;flex-wrap:wrap;border-bottom:2px solid;position:relative;padding-bottom:.15rem}
.to-service .arrow{color:var(--go);border-color:var(--go)}
.to-client .arrow{color:var(--back);border-color:var(--back);flex-direction:row-reverse}
.to-service .arrow::after{content:'▶';position:absolute;right:-.75rem;bottom:-.78rem}
.to-client .arrow::after{content:'◀';position:absolute;left:-.75rem;bottom:-.78rem}
.lost .arrow{color:var(--bad);border-color:var(--bad);border-bottom-style:dashed}
.lost .arrow::after{content:'✗'}
.title{font-weight:600;overflow-wrap:anywhere}
.time{color:var(--soft);font-size:.8rem}
.details{display:flex;flex-wrap:wrap;gap:.3rem;margin-top:.35rem}
.to-client .details{justify-content:flex-end}
.details span{background:var(--chip);color:var(--ink);border-radius:.35rem;padding:.05rem .4rem;font-size:.8rem;overflow-wrap:anywhere}
.event{font-size:.9rem;color:var(--event)}
.event.service{text-align:right}
.event.runner{text-align:center;color:var(--bad);font-weight:600}
`
