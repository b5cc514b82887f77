"""Which sentences are said: GRID sentences for training and held-out ones, and a list of plain English sentences."""

import numpy as np

from data_pipelines.grid import grammar

FREE_SENTENCES = (
    "The train leaves from platform nine in ten minutes.",
    "She put the blue cup on the kitchen table.",
    "We walked along the river until it was dark.",
    "Please close the window before you go to bed.",
    "My brother plays the piano every Sunday morning.",
    "There is fresh bread and butter in the basket.",
    "The children were laughing in the garden.",
    "He forgot his umbrella at the office again.",
    "A small boat crossed the quiet harbour.",
    "You should visit the museum on a rainy day.",
    "The old clock on the wall has stopped.",
    "They bought five apples and a bag of rice.",
    "I will call you as soon as I arrive.",
    "The soup needs a little more salt and pepper.",
    "Her office is on the third floor of the building.",
    "It was warm enough to swim in the lake.",
    "The dog ran after the ball and brought it back.",
    "Could you show me the way to the station?",
    "We planted seven trees behind the school.",
    "The moon was bright above the snowy hills.",
    "He wrote a long letter to his grandmother.",
    "The baker opens his shop before sunrise.",
    "I have never seen such a beautiful bird.",
    "Nobody knew the answer to the last question.",
    "The bus was full, so we decided to walk.",
    "Turn left at the bridge and follow the path.",
    "She speaks four languages and is learning another.",
    "The farmer keeps sheep, goats and two horses.",
    "My favourite colour has always been green.",
    "We had soup and salad for lunch today.",
    "The teacher read a story to the class.",
    "A cold wind was blowing from the north.",
    "He fixed the broken chair with a bit of glue.",
    "The library closes early on Friday afternoon.",
    "Put the keys in the drawer by the door.",
    "They watched the ships from the top of the cliff.",
    "The coffee was too hot to drink.",
    "I would like a ticket to the evening show.",
    "Our neighbours have painted their house yellow.",
    "The river rises quickly after heavy rain.",
    "She found an old map in the attic.",
    "The cake will be ready in half an hour.",
    "We saw a fox at the edge of the forest.",
    "He wears a brown coat and a woollen hat.",
    "The shop sells paper, pens and picture frames.",
    "The engine made a strange noise this morning.",
    "It takes two days to drive to the coast.",
    "The nurse gave him a glass of water.",
    "Leaves were falling on the empty street.",
    "I read the newspaper while waiting for the doctor.",
    "The cat is asleep on top of the piano.",
    "They built the bridge more than a hundred years ago.",
    "Mix the flour with eggs and a cup of milk.",
    "He usually gets up at half past six.",
    "The view from the tower is worth the climb.",
    "She answered every question with a smile.",
    "We need three more chairs for the meeting.",
    "The path through the valley was covered with stones.",
    "You can leave your bicycle behind the house.",
    "The musicians played until late at night.",
    "My uncle grows tomatoes, beans and onions.",
    "The light changed and the cars began to move.",
    "A thin layer of ice covered the pond.",
    "Thank you for helping me with these boxes.",
    "The judge asked them to wait outside.",
    "He measured the garage twice before he bought the van.",
    "Young people often choose to live in the city.",
    "The weather should be better by Thursday.",
    "Both of them enjoy reading about the sea.",
    "Father put the heavy bag under the bench.",
    "The usual price is much lower than this.",
    "We watched the bees move from flower to flower.",
)


def is_reserved(code: str) -> bool:
    """Whether a GRID sentence is kept out of training: a tenth of the pairs of letter and digit, each letter in one."""
    letters, digits = (list(grammar.SLOTS[slot]) for slot in ("letter", "digit"))
    return (3 * letters.index(code[3]) + digits.index(code[4])) % 10 == 0


def grid_code(rng: np.random.Generator, held_out: bool) -> str:
    """A random GRID sentence, from the reserved pairs of letter and digit if `held_out`, else from the others."""
    while True:
        code = grammar.random_code(rng)
        if is_reserved(code) == held_out:
            return code
