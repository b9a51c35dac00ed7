"""Words too common to be worth asking for, by language. A short list: IDF sees to the rest."""

from __future__ import annotations

from typing import Final

# The last line is what an apostrophe leaves of don't, it's, we'll, I'd, they're, I've, I'm.
_ENGLISH = """
a an the i me my we us our you your he him his she her it its they them their
this that these those who whom whose which what
am is are was were be been being have has had do does did
can could shall should will would may might must
of at by for with about into from to in on as than and or but if then so not no nor
there here when where why how too very just
s t ll d re ve m don doesn didn isn aren wasn weren
"""

STOP_WORDS: Final[dict[str, frozenset[str]]] = {"english": frozenset(_ENGLISH.split())}
"""By the name of the Snowball stemmer; a language without a list drops nothing."""
