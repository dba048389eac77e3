"""What fans say: short lines for each moment of a match."""

from enum import Enum


class Moment(Enum):
    """What has just happened on the ice."""

    CALM = "calm"
    CHANCE = "chance"
    SAVE = "save"
    GOAL = "goal"
    PENALTY = "penalty"


LINES: dict[Moment, tuple[str, ...]] = {
    Moment.CALM: (
        "evening everyone 👋",
        "watching from work, don't tell my boss",
        "who else is here from the away end?",
        "second period is always ours, just wait",
        "the new kid on the left wing is so fast",
        "need to win the faceoffs, that's all",
        "anyone got the stats from last week?",
        "this neutral zone trap is boring me to tears",
        "stream looks sharp today",
        "my dad says hi, first game he watches online",
        "Lindqvist has been everywhere tonight",
        "we miss Okafor so much on defence",
        "the third line deserves more ice time",
        "tea break, don't let anything happen",
        "ok they have to shoot more",
        "power play has been awful all season tbh",
        "what a change by the coach there",
        "five in a row at home if we hold this",
        "hello from Rotterdam",
        "is the captain limping or is it me?",
    ),
    Moment.CHANCE: (
        "shoot!!",
        "ohhh so close",
        "how did that not go in",
        "off the post 😩",
        "two on one and he passes...",
        "what a pass that was",
        "here we go here we go",
        "they smell blood now",
        "can't look",
        "that was wide open!",
        "pressure pressure pressure",
        "my heart",
    ),
    Moment.SAVE: (
        "WHAT A SAVE",
        "Marchetti is a wall",
        "give that goalie a raise",
        "glove!! 🧤",
        "robbed him blind",
        "he had no right to stop that",
        "best in the league, I keep saying it",
        "that's three huge ones already",
        "keeping us in this on his own",
        "how. just how.",
    ),
    Moment.GOAL: (
        "GOOOOAL",
        "YESSS",
        "top shelf!!! 🚨",
        "let's goooo",
        "get in!",
        "no way, what a shot",
        "that was beautiful",
        "the whole street heard me",
        "never doubted it",
        "offside? no? GOOD",
        "replay please I need to see it again",
        "and the crowd goes mad",
        "Gulls! Gulls! Gulls!",
        "Foxes asleep at the back again",
    ),
    Moment.PENALTY: (
        "that's never a penalty",
        "two minutes? for that?",
        "ref needs new glasses",
        "ok fair, that was a trip",
        "power play time, make it count",
        "stay out of the box please",
        "soft call but I'll take it",
        "kill this off and we win",
        "he went down easy there",
        "somebody tell him to keep his stick down",
    ),
}

NAMES: tuple[str, ...] = (
    "Mira",
    "Jonas",
    "Priya",
    "Tom",
    "Aiko",
    "Luca",
    "Zsófia",
    "Kwame",
    "Ingrid",
    "Mateo",
    "Noor",
    "Sven",
    "Chloé",
    "Dmytro",
    "Yara",
    "Finn",
    "Leila",
    "Oskar",
    "Bruna",
    "Hamza",
)
