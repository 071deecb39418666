"""Captions: missing, short, long, very long, in several scripts."""

from simulator.world.draw import Draw

PHRASES = (
    "Fresh out of the oven this morning",
    "Behind the scenes with the whole team",
    "Which one would you pick? Tell us below",
    "New week, new colours",
    "Throwback to a very long night",
    "Thank you all for coming by",
    "Swipe to see how it is made",
    "Only a few left, first come, first served",
    "We are open all weekend 🥐☕",
    "Best team ever ❤️🔥👏🏽",
    "おはようございます、今日も焼きたてです",
    "Свежие булочки каждое утро",
    "شكرا لكم على دعمكم",
    "오늘의 추천 메뉴",
    "Guten Morgen, schöne Grüße aus der Küche",
)
TAGS = ("#local", "#handmade", "#weekend", "#newin", "#smallbusiness", "#behindthescenes", "#春", "#instagood")
ODD_PHRASES = (
    "مرحبا بكم في متجرنا <b>اليوم</b>",
    "\u202eright to left from here\u202c, and back",
    "a NUL \x00 in the middle, a bell \x07, an escape \x1b[31m",
    "half of a pair: \ud83d, and the other half: \udc4d",
    "\u200b\u200d\ufeff\u2028\u2029",
    "=1+1, @SUM(A1), -2, +3, \t\"quoted\", 'single', back\\slash",
    "👩‍👩‍👧‍👦🏴‍☠️ e\u0301 é Ǆ ﬁ ß İ",
)
ODD_NAME = '\u202eOdd\x00 \ud83d <i>Texts</i> & Söhne, "Ltd"'
LONGEST = 2_200  # characters, Instagram's own limit
WITHOUT, SHORT, LONG = (
    0.08,
    0.75,
    0.95,
)  # Up to these shares a caption is missing, one line, a paragraph; the rest is very long.


def caption(chance: Draw, *, odd: bool = False) -> str | None:
    """Write a caption, or none; an odd one has what breaks careless readers."""
    length = chance.random()
    if length < WITHOUT:
        return None
    sentences = 1 if length < SHORT else chance.randint(3, 8) if length < LONG else chance.randint(70, 90)
    text = ". ".join(chance.choice(ODD_PHRASES if odd else PHRASES) for _ in range(sentences))
    tags = " ".join(chance.sample(TAGS, chance.randint(0, 4)))
    return f"{text}\n\n{tags}".strip()[:LONGEST]
