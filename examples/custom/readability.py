"""A model that is a Python class: how hard a text is to read (Flesch reading ease, 1948)."""

import re


class Readability:
    def load(self, spec, device):
        self.words_per_line = spec.options.get("words_per_line", 10)

    def predict(self, items):
        return [self.score(item.input["text"]) for item in items]

    def score(self, text):
        words = re.findall(r"\w+", text) or ["-"]
        sentences = len(re.findall(r"[.!?]+", text)) or 1
        syllables = sum(len(re.findall(r"[aeiouy]+", word.lower())) or 1 for word in words)
        ease = 206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words)
        return {"ease": round(ease, 1), "lines": -(-len(words) // self.words_per_line)}
