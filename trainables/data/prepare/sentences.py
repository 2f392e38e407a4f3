"""Splits abstracts into sentences much as the benchmark's authors did.

Which pairs a relation task has depends on where sentences end. The benchmark's own splitter (a general
English one) is not recorded; what its published ChemProt development file shows of its habits is kept to:

* A full stop ends a sentence whatever follows, a lower-case word too (``animals. nAChRs exist``), unless the word
  before is a known abbreviation. Those of general English are known (``vs.``, ``Dr.``), also where they are
  something else here (``DR.``, ``CIE.``); those of medicine are not (``i.v.``, ``e.g.``).
* A single letter counts as an abbreviation (``degrees C. At``, ``24 h. Increased``), save a few.
* A bracket, quote, colon or semicolon may stand in the place of the blank (``obtained.(22) The``), a comma may not;
  closing ones go to the next sentence (``(1 mg i.p.`` and ``) at noon``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_END = re.compile(r"[.!?](?=[)\";}\]*:@'({\[!?]|\s)")
_BLANKS = re.compile(r"\s*")
_BEFORE_WORD = re.compile(r"[\s(\[{\"]")
_NUMBER = re.compile(r"-?[\d.,]+")
_LETTERS = frozenset("cdefghjklmnopqrstuvwxyz")
_TITLES = "dr mr mrs ms prof sr jr st gen gov sen rep lt col maj capt inc corp co ltd bros cie ph.d m.d"
_DATES = "jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun"
_STATES = """ala ariz ark calif colo conn del fla ga ill ind kan ky la mass md mich minn miss mo mont neb nev okla ore
    pa tenn tex va wash wis s.c n.c n.j n.y n.h n.d n.m s.d d.c r.i l.a u.s u.k u.n"""
_OTHERS = "vs etc mg"
_ABBREVIATIONS = frozenset(f"{_TITLES} {_DATES} {_STATES} {_OTHERS}".split())


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end (exclusive) of every sentence, the blanks after it included."""
    start = 0
    for match in _END.finditer(text):
        blanks = _BLANKS.match(text, match.end())
        end = blanks.end() if blanks else match.end()
        if start < end < len(text) and not (match[0] == "." and _goes_on(text, match.start(), end)):
            yield start, end
            start = end
    if start < len(text):
        yield start, len(text)


def _goes_on(text: str, stop: int, after: int) -> bool:
    """Whether the full stop at ``stop`` ends an abbreviation or number rather than the sentence."""
    start = stop
    while start > 0 and not _BEFORE_WORD.match(text[start - 1]):
        start -= 1
    word = text[start:stop].lower()
    last = word.rpartition("-")[2]
    if word in _ABBREVIATIONS or last in _ABBREVIATIONS or last in _LETTERS:
        return True
    return _NUMBER.fullmatch(word) is not None and text[after].islower()
