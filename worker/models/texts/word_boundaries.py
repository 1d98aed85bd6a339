"""Whole words in texts of scripts that put blanks between words, and only there."""

import re
from typing import Any

UNSPACED = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u0f00-\u0fff"  # Tibetan
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Myanmar
    "\u1780-\u17ff\u1950-\u19ff"  # Khmer, Tai Le, New Tai Lue
    "\u1a20-\u1aaf"  # Tai Tham
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Hiragana, Katakana
    "\ua980-\ua9df\u1b00-\u1b7f"  # Javanese, Balinese
    "\U0001b000-\U0001b16f"  # further Kana
    "\U00020000-\U0003ffff"  # further Han
    "]"
)
"""Characters of the scripts whose line breaks fall within what stands between two blanks.

Unicode's line breaking classes ID, CJ and SA, https://www.unicode.org/reports/tr14/; Hangul, which is ID
as well, puts blanks between words.
"""


def align_to_words(text: str, window: Any, first: int, last: int) -> tuple[int, int]:
    """The characters from the beginning of the first token's word to the end of the last one's.

    A token stands for itself where it is in no word, or where what the tokenizer takes for a word is
    several: it splits at blanks, and the script has none.
    """
    begin, end = window.offsets[first][0], window.offsets[last][1]
    whole, other = _word(window, first), _word(window, last)
    if whole and not UNSPACED.search(text, *whole):
        begin = whole[0]
    if other and not UNSPACED.search(text, *other):
        end = other[1]
    return begin, end


def _word(window: Any, token: int) -> tuple[int, int] | None:
    """The characters of the token's word, if the tokenizer knows one."""
    word, sequence = window.token_to_word(token), window.token_to_sequence(token)
    if word is None or sequence is None:
        return None
    found: tuple[int, int] = window.word_to_chars(word, sequence)
    return found
