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
LONGEST = 2_200  # characters, Instagram's own limit
WITHOUT, SHORT, LONG = (
    0.08,
    0.75,
    0.95,
)  # Up to these shares a caption is missing, one line, a paragraph; the rest is very long.


def caption(chance: Draw) -> str | None:
    """Write a caption, or none."""
    length = chance.random()
    if length < WITHOUT:
        return None
    sentences = 1 if length < SHORT else chance.randint(3, 8) if length < LONG else chance.randint(70, 90)
    text = ". ".join(chance.choice(PHRASES) for _ in range(sentences))
    tags = " ".join(chance.sample(TAGS, chance.randint(0, 4)))
    return f"{text}\n\n{tags}".strip()[:LONGEST]
