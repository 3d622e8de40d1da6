"""The text of the page of `explore`: its style, its body, and the script that moves the sliders."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from qpot.plots.explore_script import SCRIPT

# The page may load nothing from anywhere; the browser itself refuses what is not in the file.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)

_STYLE = """
* { box-sizing: border-box } [hidden] { display: none !important }
body { font: 15px/1.45 system-ui, sans-serif; color: #1d2330; background: #fff; margin: 0 auto; max-width: 1240px;
  padding: 14px 18px 40px }
h1 { font-size: 21px; margin: 0 0 4px } h2 { font-size: 15px; margin: 16px 0 4px }
p { margin: 4px 0 } .answer { font-size: 16px; font-weight: 600 } .caution { color: #8a3b00 }
.columns { display: grid; grid-template-columns: minmax(0, 1.55fr) minmax(0, 1fr); gap: 20px; margin-top: 10px }
#map { width: 100%; height: 520px } #course { width: 100%; height: 230px }
label { display: block; margin-top: 8px } label b { float: right; font-variant-numeric: tabular-nums }
input[type=range] { width: 100%; height: 26px; margin: 0; accent-color: #0072B2 }
select { font: inherit; max-width: 100%; padding: 2px 4px } .choices label { display: inline-block; margin: 0 14px 6px 0 }
.bars { list-style: none; margin: 6px 0; padding: 0 }
.bars li { display: grid; grid-template-columns: 112px 1fr 70px; gap: 8px; align-items: center; margin: 3px 0 }
.bars .track { background: #eceff3; border-radius: 3px; height: 14px; position: relative }
.bars .fill { height: 14px; border-radius: 3px } .bars .mark { position: absolute; top: -3px; width: 2px; height: 20px;
  background: #1d2330 }
.bars span:last-child { text-align: right; font-variant-numeric: tabular-nums }
.key { color: #505a6b; font-size: 13px } .key span { margin-right: 14px; white-space: nowrap }
.key i { display: inline-block; vertical-align: middle; margin-right: 5px }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: 13px }
th, td { text-align: left; padding: 2px 14px 2px 0; border-bottom: 1px solid #e3e7ec; white-space: nowrap }
@media (max-width: 760px) { body { padding: 10px 10px 30px } .columns { grid-template-columns: minmax(0, 1fr); gap: 6px }
  #map { height: 380px } h1 { font-size: 18px } }
"""

# What the signs on the map mean: the part of the data that must not be empty for an entry to be seen, and the entry.
_KEY = (
    (
        "states",
        '<i style="width:13px;height:13px;border-radius:50%;background:#0072B2"></i>minimum, larger where likely',
    ),
    ("states", '<i style="width:13px;height:13px;border-radius:50%;border:2px solid #000"></i>selected as ε → 0'),
    ("saddles", '<i style="font-style:normal;font-weight:700">✕</i>saddle'),
    ("routes", '<i style="width:24px;border-top:3px solid #D55E00"></i>the noise climbs'),
    ("routes", '<i style="width:24px;border-top:3px dashed #56B4E9"></i>free descent'),
    ("cycles", '<i style="width:24px;border-top:3px solid #777"></i>limit cycle'),
)


def page(
    data: dict[str, Any],
    *,
    title: str,
    answer: str,
    remarks: list[str],
    cautions: list[str],
    notes: list[str],
    tables: str,
    script: str,
) -> str:
    """The whole page as HTML.

    Parameters
    ----------
    data : dict
        What the script draws, as JSON can hold it.
    title, answer : str
    remarks, cautions : list of str
        Sentences below the answer: what to conclude and what the map is, and what limits the answer.
    notes : list of str
        Sentences at the end of the page.
    tables : str
        The table of routes, as HTML.
    script : str
        plotly.js, which is written into the page.
    """
    law = data["law"]
    first = "ε, the noise level" if law and law["inTime"] else "learning rate"
    second = "time" if law and law["inTime"] else "number of steps"
    told = "".join(f"<p>{escape(text)}</p>" for text in remarks if text)
    told += "".join(f'<p class="caution">{escape(text)}</p>' for text in cautions if text)
    key = " ".join(f"<span>{entry}</span>" for part, entry in _KEY if data[part])
    last = "".join(f"<p>{escape(text)}</p>" for text in notes if text)
    last = f"<h2>Notes</h2>{last}" if last else ""
    # A text within the data must not end the script that holds it.
    held = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    mark = "long run, as long as it stays in the box" if data["leadsOut"] else "long run"
    controls = f"""<div id="controls"><label for="slider-level">{first} <b id="level"></b></label>
<input type="range" id="slider-level" min="0" step="1"><label for="slider-duration">{second} <b id="duration"></b></label>
<input type="range" id="slider-duration" min="0" step="1"><label>start <select id="start"></select></label>
<p id="now" class="answer" style="margin-top:8px"></p><p id="doubts" class="caution"></p>
<h2>Where it is <span class="key">(black mark: {mark})</span></h2></div>"""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{escape(title)}</title><style>{_STYLE}</style></head>
<body><h1>{escape(title)}</h1><p class="answer">{escape(answer)}</p>{told}
<div class="columns"><div><div class="choices"><label>height <select id="layer"></select></label>
<label>routes <select id="routes"></select></label></div><div id="map"></div><p class="key">{key}</p></div>
<div>{controls}<ul class="bars" id="bars"></ul><p class="key" id="more"></p><div id="course"></div></div></div>
{tables}{last}<script type="application/json" id="data">{held}</script><script>{script}</script>
<script>{SCRIPT}</script></body></html>
"""
